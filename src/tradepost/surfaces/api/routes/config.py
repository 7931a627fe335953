"""Keys of the config centre and switches: read, set, compare, roll back, watch. For operators alone."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.stability.desk import ConfigDesk, Wish
from tradepost.stability.keys import Rule, declared_keys, find_key
from tradepost.stability.store import GENE, DrillRecord
from tradepost.stability.switches import declared_switches, find_switch
from tradepost.surfaces.api.once import story_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.config_views import (
    ALARM,
    DRILL,
    KEY_ANSWER,
    RULE,
    SWITCH,
    VERSION,
    AlarmView,
    Asker,
    ConfigWish,
    DifferenceList,
    DifferenceView,
    DiffQuery,
    DrillReport,
    DrillResult,
    DrillView,
    HistoryQuery,
    KeyValue,
    KeyValues,
    RollbackWish,
    SwitchList,
    VersionList,
    VersionView,
    WatchQuery,
    view_drill,
    view_key,
    view_switch,
    view_version,
    view_written,
)
from tradepost.trade.parties import Role

ROUTES = Routes("config", priority=None)
OPERATOR = (Role.OPERATOR,)
READ_CODES = ("config.key_unknown", "config.unavailable")
WRITE_CODES = (
    *READ_CODES,
    "config.value_invalid",
    "config.audience_not_allowed",
    "config.version_conflict",
    "config.reason_missing",
    "config.centre_unavailable",
    "idempotency.key_required",
    "idempotency.in_progress",
)


def _desk(call: Call) -> ConfigDesk:
    desk = call.platform.config
    if desk is None:
        raise Refusal("config.unavailable", "This process has no config centre.")
    return desk


@ROUTES.add(
    "GET",
    "/v1/config",
    query=WatchQuery,
    returns=KeyValues,
    scope="admin",
    roles=OPERATOR,
    answer={"instance": "api-1", "revision": 12, "reachable": True, "alarms": [ALARM], "items": [KEY_ANSWER]},
    codes=("config.unavailable",),
)
async def list_config(call: Call) -> KeyValues:
    """List every key as the answering process has it

    With `after` and `wait_ms` the answer waits until the process has reached a later revision, or the time is up.
    """
    query: WatchQuery = call.query
    desk = _desk(call)
    if query.wait_ms:
        await desk.live.wait(query.after, query.wait_ms / 1000)
    live = desk.live
    return KeyValues(
        instance=live.instance,
        revision=live.revision,
        reachable=live.reachable,
        alarms=tuple(
            AlarmView(kind=one.kind, about=one.about, detail=one.detail, since_ms=one.since_ms)
            for one in live.alarms()
        ),
        items=tuple(view_key(desk, key, Asker()) for key in declared_keys().values()),
    )


@ROUTES.add(
    "GET",
    "/v1/config/keys/{name}",
    query=Asker,
    returns=KeyValue,
    scope="admin",
    roles=OPERATOR,
    answer=KEY_ANSWER,
    codes=READ_CODES,
)
async def get_config(call: Call) -> KeyValue:
    """Read a key, with the value for an instance, a market or a subject"""
    return view_key(_desk(call), find_key(call.path["name"]), call.query)


@ROUTES.add(
    "PUT",
    "/v1/config/keys/{name}",
    body=ConfigWish,
    returns=VersionView,
    keyed=True,
    scope="admin",
    roles=OPERATOR,
    example={"seen_version": 3, "value": False, "rules": [RULE], "reason": "try it on one instance first"},
    answer=VERSION,
    codes=WRITE_CODES,
)
async def set_config(call: Call) -> Answer:
    """Put a document in force in every process, as the key's next version"""
    body: ConfigWish = call.body
    desk, name = _desk(call), call.path["name"]
    rules = tuple(
        Rule(value=one.value, instances=one.instances, markets=one.markets, share_bps=one.share_bps)
        for one in body.rules
    )
    wish = Wish(value=body.value, rules=rules, seen=body.seen_version)

    async def story() -> VersionView:
        return view_written(await desk.set(name, wish, call.principal.party_id, body.reason))

    return await story_once(call, GENE, 200, story)


@ROUTES.add(
    "POST",
    "/v1/config/keys/{name}/rollback",
    body=RollbackWish,
    returns=VersionView,
    keyed=True,
    scope="admin",
    roles=OPERATOR,
    example={"to_version": 3, "seen_version": 4, "reason": "more refusals than expected"},
    answer={**VERSION, "kind": "rollback", "version": 5, "from_version": 3},
    codes=(*WRITE_CODES, "config.version_unknown"),
)
async def rollback_config(call: Call) -> Answer:
    """Put an earlier document in force again, as a new version"""
    body: RollbackWish = call.body
    desk, name, author = _desk(call), call.path["name"], call.principal.party_id

    async def story() -> VersionView:
        return view_written(
            await desk.rollback(name, body.to_version, body.seen_version, author, body.reason)
        )

    return await story_once(call, GENE, 200, story)


@ROUTES.add(
    "GET",
    "/v1/config/keys/{name}/diff",
    query=DiffQuery,
    returns=DifferenceList,
    scope="admin",
    roles=OPERATOR,
    answer={"items": [{"path": "value", "before": False, "after": True}]},
    codes=(*READ_CODES, "config.version_unknown"),
)
async def diff_config(call: Call) -> DifferenceList:
    """Compare two versions of a key"""
    query: DiffQuery = call.query
    found = await _desk(call).diff(call.path["name"], query.old, query.new)
    return DifferenceList(
        items=tuple(DifferenceView(path=one.path, before=one.before, after=one.after) for one in found)
    )


@ROUTES.add(
    "GET",
    "/v1/config/history",
    query=HistoryQuery,
    returns=VersionList,
    scope="admin",
    roles=OPERATOR,
    answer={"items": [VERSION]},
    codes=READ_CODES,
)
async def list_config_history(call: Call) -> VersionList:
    """List who set what and why, newest first"""
    query: HistoryQuery = call.query
    found = await _desk(call).history(query.key, query.before, query.limit)
    return VersionList(items=tuple(view_version(one) for one in found))


@ROUTES.add(
    "GET",
    "/v1/config/switches",
    returns=SwitchList,
    scope="admin",
    roles=OPERATOR,
    answer={"items": [SWITCH]},
    codes=("config.unavailable",),
)
async def list_switches(call: Call) -> SwitchList:
    """List the switches with what they promise and when each was drilled last"""
    desk, switches = _desk(call), call.platform.switches
    return SwitchList(
        items=tuple(
            [view_switch(one, switches, await desk.drills(one.name)) for one in declared_switches().values()]
        )
    )


@ROUTES.add(
    "POST",
    "/v1/config/switches/{name}/drills",
    body=DrillResult,
    returns=DrillView,
    status=201,
    keyed=True,
    scope="admin",
    roles=OPERATOR,
    example={
        "passed": True,
        "started_at_ms": 1790000000000,
        "took_ms": 9000,
        "checks": {"writes_refused": True},
        "figures": {"felt_ms": 40},
    },
    answer=DRILL,
    codes=("switch.unknown", "config.unavailable", "idempotency.key_required", "idempotency.in_progress"),
)
async def record_drill(call: Call) -> Answer:
    """Write down how a drill of a switch went"""
    body: DrillResult = call.body
    desk, switch = _desk(call), find_switch(call.path["name"])
    report = DrillReport(checks=body.checks, figures=body.figures)
    record = DrillRecord(
        switch=switch.name,
        at_ms=body.started_at_ms,
        passed=body.passed,
        took_ms=body.took_ms,
        author=call.principal.party_id,
        report=msgspec.json.encode(report),
    )

    async def story() -> DrillView:
        await desk.record_drill(record)
        return view_drill(record)

    return await story_once(call, GENE, 201, story)
