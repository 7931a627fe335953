"""The settings of a command: its profile first, then file, environment and the options given.

The production profile stands on servers. An address that no setting names is that of the server which
`tradepost services up` started for the same data folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.settings import Mode, Profile, Settings, load_settings

declare_problems(
    {
        "profile.database_missing": (
            Kind.INVALID,
            "The production profile needs a database that many processes may share",
            "Run `tradepost services up`, or set TRADEPOST_STORAGE__URL to mysql:// or vitess://.",
        ),
        "profile.server_away": (
            Kind.CONFLICT,
            "A server of the production profile does not answer",
            "Run `tradepost services up`, or set the named setting to the address of another one.",
        ),
    }
)

SERVERS: dict[str, tuple[str, ...]] = {
    "storage": ("mariadb", "vitess"),
    "cache": ("redis",),
    "config": ("etcd",),
    "messaging": ("rocketmq",),
}
"""Which servers may stand behind a part of the shop, the first that answers counts."""
WORKERS_MAX = 8


def read_settings(
    config: Path | None = None,
    *,
    profile: str | None = None,
    demo: bool = False,
    overrides: dict[str, Any] | None = None,
    needs: Sequence[str] = ("storage",),
) -> Settings:
    """The settings of a command; `needs` are the parts of the shop whose servers it asks.

    Raises Refusal `settings.invalid`, `settings.demo_keys` for a demo where production is set, and `profile.*` where
    the production profile lacks a server.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    if profile:
        given["profile"] = profile
    chosen = load_settings(os.environ, config, given)
    if demo:
        if chosen.mode is Mode.PRODUCTION:
            raise Refusal("settings.demo_keys", "--demo loads keys that everybody knows.", field="mode")
        given["mode"] = Mode.DEMO.value
    if chosen.profile is not Profile.PRODUCTION:
        return load_settings(os.environ, config, given)
    return load_settings(os.environ, config, given, production_defaults(chosen, needs))


def production_defaults(chosen: Settings, needs: Sequence[str] = tuple(SERVERS)) -> dict[str, Any]:
    """What the production profile sets unless somebody else does.

    Raises Refusal `profile.database_missing` and `profile.server_away`.
    """
    return {
        "mode": Mode.PRODUCTION.value,
        "server.workers": min(WORKERS_MAX, max(2, os.cpu_count() or 2)),
        "server.works_elsewhere": True,
        **_find_servers(chosen, needs),
    }


def _find_servers(chosen: Settings, needs: Sequence[str]) -> dict[str, str]:
    missing = [part for part in needs if not getattr(chosen, part).url]
    found = _look(chosen, [name for part in missing for name in SERVERS[part]]) if missing else {}
    defaults = {}
    for part in missing:
        known = [(name, *found[name]) for name in SERVERS[part] if name in found]
        answering = [url for _, url, _ in known if url]
        away = [f"{name}: {why}" for name, url, why in known if not url and why != "not started"]
        if answering:
            defaults[f"{part}.url"] = answering[0]
        elif away:
            raise Refusal(
                "profile.server_away",
                f"It was brought up in this folder: {', '.join(away)}.",
                field=f"{part}.url",
            )
        elif part == "storage":
            raise Refusal(
                "profile.database_missing",
                f"No setting names one, and none was brought up in {chosen.server.data_dir}.",
                field="storage.url",
            )
    return defaults


def _look(chosen: Settings, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(address, why not) of these servers of the data folder."""
    from tradepost.services import status
    from tradepost.surfaces.cli.services import folder_at

    root = folder_at(chosen)
    if not root.exists():
        return {}
    return {
        recipe.name: (server.url if server else "", why)
        for recipe, server, why in status(root, names, environment={})
    }


def servers_of(settings: Settings) -> dict[str, str]:
    """Where each part of the shop stands, without passwords, for people."""
    found = {part: getattr(settings, part).url for part in SERVERS}
    return {part: _without_password(url) for part, url in found.items() if url}


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
