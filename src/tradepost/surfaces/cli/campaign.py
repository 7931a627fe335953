"""`tradepost campaign`: write, check, publish, pause and end campaigns of a running shop."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import to_major
from tradepost.surfaces.cli.asking import HERE, Asking, Where, ask
from tradepost.surfaces.cli.output import FAILED, console, moment, print_facts, print_json, print_table

SHOWN = 200
FILES = (".toml", ".json")
CAMPAIGNS_MAX = 100
"""Campaigns of one file."""

declare_problems(
    {
        "promotion.title_taken": (
            Kind.CONFLICT,
            "A campaign of this title has not ended",
            "Name its `campaign_id` in the file to change it, or give the new one another title.",
        ),
    }
)


def list_campaigns(*, state: str = "", seller: str = "", limit: int = SHOWN, where: Where = HERE) -> None:
    """List campaigns in order of their ids: those of a seller's key, or everybody's for an operator.

    Parameters
    ----------
    state
        Only those in this state: DRAFT, ACTIVE, PAUSED or ENDED.
    seller
        Only those of this seller.
    limit
        How many at most.
    """
    found: list[Any] = []
    cursor = ""
    with ask(where) as asking:
        while len(found) < limit:
            page = asking.get(
                "/v1/campaigns",
                state=state,
                seller_id=seller,
                cursor=cursor,
                limit=min(limit - len(found), SHOWN),
            )
            found += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                break
    if where.json:
        print_json({"items": found, "next_cursor": cursor})
        return
    print_table(
        "Campaigns",
        ("id", "title", "owner", "state", "in force", "rules", "codes", "from", "until"),
        [
            (
                one["campaign_id"],
                one["title"],
                one["seller_id"] or one["owner"],
                one["state"],
                _in_force(one),
                len(one["rules"]),
                len(one["codes"]) if one["needs_code"] else "none needed",
                *_span(one),
            )
            for one in found
        ],
    )
    if cursor:
        console.print(f"There are more: --limit {limit + SHOWN}")


def show(campaign_id: str, *, where: Where = HERE) -> None:
    """Show a campaign: its newest rules, who pays for them, its limits, and the versions there were.

    Parameters
    ----------
    campaign_id
        The campaign's id (cmp_...).
    """
    with ask(where) as asking:
        found = asking.get(f"/v1/campaigns/{campaign_id}")
        kept = asking.get(f"/v1/campaigns/{campaign_id}/versions")["items"]
    if where.json:
        print_json({**found, "versions": kept})
        return
    since, until = _span(found)
    print_facts(
        found["title"] or campaign_id,
        {
            "id": found["campaign_id"],
            "state": found["state"],
            "in force": _in_force(found),
            "owner": found["seller_id"] or found["owner"],
            "markets": ", ".join(found["markets"]) or f"all that sell in {found['currency']}",
            "scenes": ", ".join(found["scenes"]) or "all",
            "from": since,
            "until": until,
            "codes": ", ".join(found["codes"]) if found["needs_code"] else "none needed",
            **{f"limit {name}": _limit(name, value, found) for name, value in found["limits"].items()},
        },
    )
    print_table(
        "Rules",
        ("code", "class", "gives", "to", "if", "paid by"),
        [
            (
                rule["code"],
                rule.get("class", "line"),
                _words(rule["effect"]),
                _words(rule.get("filter", {})) or "everything",
                "; ".join(_words(one) for one in rule.get("conditions", ())) or "always",
                _funders(rule),
            )
            for rule in found["rules"]
        ],
    )
    print_table(
        "Versions",
        ("version", "written", "by", "rules"),
        [(one["rules_version"], moment(one["at_ms"]), one["author"], len(one["rules"])) for one in kept],
    )


def check(file: Path, *, where: Where = HERE) -> None:
    """Run the guard against wrong prices on a file of campaigns; nothing is written. Ends with 1 when one is stopped.

    Parameters
    ----------
    file
        A TOML or JSON file of one campaign, or of several under `campaigns`.
    """
    with ask(where) as asking:
        found = [
            {"title": terms.get("title", ""), **asking.send("POST", "/v1/campaigns/check", terms)}
            for _, terms in read_campaigns(file)
        ]
    if where.json:
        print_json({"items": found})
    else:
        rows = [
            (one["title"] or number, fault["code"], fault["detail"], fault["field"], fault["expected"])
            for number, one in enumerate(found, 1)
            for fault in one["faults"]
        ]
        passed = sum(one["passes"] for one in found)
        console.print(f"{passed} of {len(found)} would be published.")
        if rows:
            print_table("Stopped", ("campaign", "by", "why", "field", "right would be"), rows)
    if not all(one["passes"] for one in found):
        raise SystemExit(FAILED)


def publish(target: str, *, where: Where = HERE) -> None:
    """Put the newest rules of a campaign in force, or those of a file.

    A campaign of a file is written first: as a new one, or as new rules of the one whose `campaign_id` the file names.
    A new one is refused while another of its title has not ended, so that doing it twice does not give it twice.

    Parameters
    ----------
    target
        The campaign's id (cmp_...), or a TOML or JSON file.
    """
    path = Path(target)
    done: list[Any] = []
    try:
        with ask(where) as asking:
            if path.suffix in FILES:
                for campaign_id, terms in read_campaigns(path):
                    done.append(_move(asking, _write(asking, campaign_id, terms), "publish"))
            else:
                done.append(_move(asking, target, "publish"))
    finally:  # what was done before one was refused is told all the same
        if done:
            _tell(done, where)


def _write(asking: Asking, campaign_id: str, terms: Any) -> str:
    """Write a campaign of a file; its id. Raises `promotion.title_taken` for a new one that may be there already."""
    if campaign_id:
        return str(asking.send("PUT", f"/v1/campaigns/{campaign_id}", terms)["campaign_id"])
    title = str(terms.get("title", ""))
    for known in _not_ended(asking, str(terms.get("seller_id", ""))):
        if known["title"] == title:
            raise Refusal(
                "promotion.title_taken",
                f"{known['campaign_id']} has the title {title!r} and is {known['state']}.",
                field="title",
                expected=f'campaign_id = "{known["campaign_id"]}", or another title',
            )
    return str(asking.send("POST", "/v1/campaigns", terms)["campaign_id"])


def _not_ended(asking: Asking, seller_id: str) -> Iterator[Any]:
    for state in ("DRAFT", "ACTIVE", "PAUSED"):
        cursor = ""
        while True:
            page = asking.get("/v1/campaigns", state=state, seller_id=seller_id, cursor=cursor, limit=SHOWN)
            yield from page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                break


def pause(campaign_id: str, *, where: Where = HERE) -> None:
    """Stop a campaign for a while.

    Parameters
    ----------
    campaign_id
        The campaign's id (cmp_...).
    """
    _do(campaign_id, "pause", where)


def resume(campaign_id: str, *, where: Where = HERE) -> None:
    """Let a paused campaign go on.

    Parameters
    ----------
    campaign_id
        The campaign's id (cmp_...).
    """
    _do(campaign_id, "resume", where)


def end(campaign_id: str, *, where: Where = HERE) -> None:
    """End a campaign for good.

    Parameters
    ----------
    campaign_id
        The campaign's id (cmp_...).
    """
    _do(campaign_id, "end", where)


def _do(campaign_id: str, given: str, where: Where) -> None:
    with ask(where) as asking:
        found = [_move(asking, campaign_id, given)]
    _tell(found, where)


def _move(asking: Asking, campaign_id: str, given: str) -> Any:
    return asking.send("POST", f"/v1/campaigns/{campaign_id}/state", {"input": given})


def _tell(found: list[Any], where: Where) -> None:
    if where.json:
        print_json({"items": found})
        return
    for one in found:
        console.print(f"{one['campaign_id']} {one['title']}: {one['state']}, {_in_force(one)}")


def read_campaigns(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """(id or nothing, terms as the API takes them) of the campaigns of a file. Raises `pricing.draft_invalid`."""
    decode: Callable[[str], Any] = msgspec.json.decode if path.suffix == ".json" else tomllib.loads
    try:
        document = decode(path.read_text("utf-8"))
        rows = document.get("campaigns", [document])
        if not 0 < len(rows) <= CAMPAIGNS_MAX:
            raise TypeError(f"{len(rows)} campaigns, and a file has 1 to {CAMPAIGNS_MAX}")
        return [(str(row.get("campaign_id", "")), {n: row[n] for n in row if n not in _OURS}) for row in rows]
    except (ValueError, TypeError, AttributeError) as error:
        raise Refusal(
            "pricing.draft_invalid", f"{path} is no campaign.", field="file", expected=str(error)
        ) from error


_OURS = ("campaign_id", "state", "owner")
"""What a file may name and the shop decides."""


def _in_force(one: Any) -> str:
    if one["state"] != "ACTIVE":
        return "not in force"
    newer = one["rules_version"] - one["live_version"]
    return f"version {one['live_version']}" + (", a newer one is not published" if newer else "")


def _span(one: Any) -> tuple[str, str]:
    return (
        moment(one["from_ms"]) if one["from_ms"] else "at once",
        moment(one["until_ms"]) if one["until_ms"] else "for ever",
    )


def _limit(name: str, value: Any, one: Any) -> str:
    if name == "budget_minor":
        return f"{to_major(value, one['currency'])} {one['currency']}"
    return str(value)


def _words(facts: dict[str, Any]) -> str:
    """A small object in a line: `kind` first, empty members left out."""
    found = [str(facts["kind"])] if "kind" in facts else []
    found += [f"{name} {_value(value)}" for name, value in facts.items() if name != "kind" and value]
    return ", ".join(found)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_value(one) for one in value)
    return f"({_words(value)})" if isinstance(value, dict) else str(value)


def _funders(rule: Any) -> str:
    shares = rule.get("funding", [{"funder": "seller", "bps": 10_000}])
    return ", ".join(f"{one['funder']} {one['bps'] / 100:g} %" for one in shares)
