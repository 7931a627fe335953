"""What the config routes take and show."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.stability.desk import ConfigDesk, Written
from tradepost.stability.keys import Document, Key, Rule
from tradepost.stability.store import DrillRecord, Version
from tradepost.stability.switches import Switch, Switches
from tradepost.surfaces.api.words import Limit

declare_problems(
    {
        "config.unavailable": (
            Kind.NOT_FOUND,
            "This process has no config centre",
            "Ask a process that `serve` started; it always has one.",
        ),
    }
)

WATCH_MS_MAX = 25_000
KEY_NAME = "switch.timeline_off"
RULE = {"value": True, "instances": ["api-1"], "markets": [], "share_bps": 10000}
VERSION = {
    "key": KEY_NAME,
    "version": 4,
    "kind": "set",
    "value": False,
    "rules": [RULE],
    "author": "opr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "reason": "try it on one instance first",
    "from_version": 0,
    "at_ms": 1790000000000,
    "pushed": True,
}
KEY_ANSWER = {
    "key": KEY_NAME,
    "type": "bool",
    "default": False,
    "unit": "",
    "sentence": "Degradation switch. Drops: the timeline.",
    "audiences": ["instance"],
    "version": 4,
    "value": False,
    "rules": [RULE],
    "in_force": False,
    "alarm": "",
}
ALARM = {"kind": "value_ignored", "about": KEY_NAME, "detail": "Expected `bool`", "since_ms": 1790000000000}
DRILL = {
    "at_ms": 1790000000000,
    "passed": True,
    "took_ms": 9000,
    "author": "opr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "checks": {"writes_refused": True},
    "figures": {"felt_ms": 40},
}
SWITCH = {
    "switch": "timeline_off",
    "on": False,
    "drops": "The timeline of an order.",
    "keeps": "The order itself.",
    "place": "surfaces.api.routes.orders",
    "tested": "An order is read without timeline.",
    "last_drill": DRILL,
}
VersionNo = Annotated[int, Meta(ge=0, le=2**31 - 2)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Short = Annotated[str, Meta(max_length=64)]


class RuleWish(msgspec.Struct, frozen=True, kw_only=True):
    """Another value for some: for these instances, in these markets, for a share of the subjects in basis points."""

    value: Any
    instances: Annotated[tuple[Short, ...], Meta(max_length=100)] = ()
    markets: Annotated[tuple[Short, ...], Meta(max_length=100)] = ()
    share_bps: Annotated[int, Meta(ge=0, le=10_000)] = 10_000


class ConfigWish(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document: without `value` the default. `seen_version` is the version that was looked at."""

    seen_version: VersionNo
    reason: Reason
    value: Any | UnsetType = UNSET
    rules: Annotated[tuple[RuleWish, ...], Meta(max_length=32)] = ()


class RollbackWish(msgspec.Struct, frozen=True, kw_only=True):
    """Which version shall be in force again (0: the default)."""

    to_version: VersionNo
    seen_version: VersionNo
    reason: Reason


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One write of a key. Not `pushed`: the centre was away; it follows when the centre is back."""

    key: str
    version: int
    kind: str
    value: Any
    rules: tuple[RuleWish, ...]
    author: str
    reason: str
    from_version: int
    at_ms: int
    pushed: bool


class KeyValue(msgspec.Struct, frozen=True, kw_only=True):
    """A key: what it takes, the document in force here, and the value for whom the query names."""

    key: str
    type: str
    default: Any
    unit: str
    sentence: str
    audiences: tuple[str, ...]
    version: int
    value: Any
    rules: tuple[RuleWish, ...]
    in_force: Any
    alarm: str


class AlarmView(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator should know."""

    kind: str
    about: str
    detail: str
    since_ms: int


class KeyValues(msgspec.Struct, frozen=True, kw_only=True):
    """Every key as this process has it, and how it stands with the centre."""

    instance: str
    revision: int
    reachable: bool
    alarms: tuple[AlarmView, ...]
    items: tuple[KeyValue, ...]


class VersionList(msgspec.Struct, frozen=True, kw_only=True):
    """Versions, newest first."""

    items: tuple[VersionView, ...]


class DifferenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the document before and after; null where it is not there."""

    path: str
    before: Any
    after: Any


class DifferenceList(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two versions."""

    items: tuple[DifferenceView, ...]


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """For whom the value is asked."""

    instance: Short = ""
    market: Short = ""
    subject: Annotated[str, Meta(max_length=200)] = ""


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which key (none: all of them), below which version, how many."""

    key: Short = ""
    before: VersionNo = 0
    limit: Limit = 50


class DiffQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions; 0 is the default."""

    old: VersionNo
    new: VersionNo


class WatchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The revision you have, and how long to wait for a later one."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    wait_ms: Annotated[int, Meta(ge=0, le=WATCH_MS_MAX)] = 0


class DrillResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill went, as whoever ran it saw it."""

    passed: bool
    started_at_ms: Annotated[int, Meta(ge=1, le=2**52)]
    took_ms: Annotated[int, Meta(ge=0, le=86_400_000)]
    checks: Annotated[dict[Short, bool], Meta(max_length=50)] = {}
    figures: Annotated[dict[Short, int], Meta(max_length=50)] = {}


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill found, as it is kept."""

    checks: dict[str, bool] = {}
    figures: dict[str, int] = {}


class DrillView(msgspec.Struct, frozen=True, kw_only=True):
    """A drill that was written down."""

    at_ms: int
    passed: bool
    took_ms: int
    author: str
    checks: dict[str, bool]
    figures: dict[str, int]


class SwitchView(msgspec.Struct, frozen=True, kw_only=True):
    """A switch, its promise, and its last drill: null when it was never drilled."""

    switch: str
    on: bool
    drops: str
    keeps: str
    place: str
    tested: str
    last_drill: DrillView | None


class SwitchList(msgspec.Struct, frozen=True, kw_only=True):
    """Every switch."""

    items: tuple[SwitchView, ...]


def rules_of(rules: tuple[Rule, ...]) -> tuple[RuleWish, ...]:
    """Rules as shown."""
    return tuple(
        RuleWish(value=one.value, instances=one.instances, markets=one.markets, share_bps=one.share_bps)
        for one in rules
    )


def base_of(key: Key[Any], document: Document) -> Any:
    """The value for whom no rule fits."""
    return key.default if document.value is UNSET else document.value


def view_key(desk: ConfigDesk, key: Key[Any], asker: Asker) -> KeyValue:
    """A key as this process has it."""
    live = desk.live
    found = live.found(key.name)
    document = Document(version=0) if found is None else found.document
    alarms = [alarm.detail for alarm in live.alarms() if alarm.about == key.name]
    return KeyValue(
        key=key.name,
        type=key.fits,
        default=key.default,
        unit=key.unit,
        sentence=key.sentence,
        audiences=tuple(sorted(key.audiences)),
        version=document.version,
        value=base_of(key, document),
        rules=rules_of(document.rules),
        in_force=live.get(key, instance=asker.instance, market=asker.market, subject=asker.subject),
        alarm="; ".join(alarms),
    )


def view_version(one: Version) -> VersionView:
    """A version as shown."""
    document = msgspec.json.decode(one.document, type=Document)
    return VersionView(
        key=one.key,
        version=one.version,
        kind=one.kind,
        value=None if document.value is UNSET else document.value,
        rules=rules_of(document.rules),
        author=one.author,
        reason=one.reason,
        from_version=one.from_version,
        at_ms=one.at_ms,
        pushed=bool(one.pushed_at_ms),
    )


def view_written(written: Written) -> VersionView:
    """What a write made."""
    return msgspec.structs.replace(view_version(written.version), pushed=written.pushed)


def view_drill(one: DrillRecord) -> DrillView:
    """A drill as shown."""
    report = msgspec.json.decode(one.report, type=DrillReport)
    return DrillView(
        at_ms=one.at_ms,
        passed=one.passed,
        took_ms=one.took_ms,
        author=one.author,
        checks=report.checks,
        figures=report.figures,
    )


def view_switch(switch: Switch, switches: Switches, drills: list[DrillRecord]) -> SwitchView:
    """A switch as it stands here."""
    return SwitchView(
        switch=switch.name,
        on=switches.is_on(switch),
        drops=switch.drops,
        keeps=switch.keeps,
        place=switch.place,
        tested=switch.tested,
        last_drill=view_drill(drills[0]) if drills else None,
    )
