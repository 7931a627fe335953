"""Read the tree: defaults, then a TOML file, then the environment, then what a command was told."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.settings.tree import Settings

PREFIX = "TRADEPOST_"
_SHORT = {"DATA_DIR": ("server", "data_dir"), "HOST": ("server", "host"), "PORT": ("server", "port")}

declare_problems(
    {
        "settings.invalid": (
            Kind.INVALID,
            "A setting has no valid value",
            "Correct the named setting and start again.",
        ),
        "settings.demo_keys": (
            Kind.CONFLICT,
            "Production must not know the demo keys",
            "Give production a DATA_DIR of its own, without --demo; or revoke every demo key there first.",
        ),
        "settings.secret_missing": (
            Kind.INVALID,
            "Production needs its own secret",
            "Set TRADEPOST_SECURITY__SIGNING_SECRET to 32 random bytes or more; nothing starts with a default one.",
        ),
    }
)


def load_settings(
    environment: Mapping[str, str],
    toml_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """The tree from defaults, file, environment and overrides, validated as a whole.

    `defaults` stand in for those of the code, by dotted name. Raises Refusal `settings.invalid` naming what does not
    fit and where.
    """
    try:
        given: dict[str, Any] = tomllib.loads(toml_file.read_text("utf-8")) if toml_file else {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Refusal("settings.invalid", f"{toml_file}: {error}", field=str(toml_file)) from error
    tree: dict[str, Any] = {}
    for dotted, value in (defaults or {}).items():
        _put(tree, tuple(dotted.split(".")), value)
    _lay_over(tree, given)
    for name, value in sorted(environment.items()):
        path = _SHORT.get(name) or (
            tuple(name[len(PREFIX) :].lower().split("__")) if name.startswith(PREFIX) else None
        )
        if path and value:
            _put(tree, path, value)
    for dotted, value in (overrides or {}).items():
        _put(tree, tuple(dotted.split(".")), value)
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal("settings.invalid", str(error), field=str(error).rpartition(" - at ")[2]) from error


def _lay_over(tree: dict[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(tree.get(name), dict):
            _lay_over(tree[name], value)
        else:
            tree[name] = value


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value
