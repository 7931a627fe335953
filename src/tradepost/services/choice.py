"""Which way a server comes: an address in the environment, else compose where an engine answers, else native."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tradepost.services.model import How, Recipe


def given_address(recipe: Recipe, environment: Mapping[str, str]) -> str | None:
    """The address that the environment names for this server.

    Two servers may share a variable (MariaDB and Vitess both answer to the storage address): the scheme of the
    address says whose it is.
    """
    url = environment.get(recipe.environment, "").strip()
    return url if url and urlsplit(url).scheme in recipe.schemes else None


def choose(recipe: Recipe, environment: Mapping[str, str], engine: bool) -> How:
    """The way for one server; `engine` says whether a container engine answers and has our compose file."""
    if given_address(recipe, environment) is not None:
        return How.ADDRESS
    return How.COMPOSE if engine and recipe.compose else How.NATIVE
