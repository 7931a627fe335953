"""`tradepost config`: read and change the values of a running shop."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.asking import HERE, Asking, Where, ask
from tradepost.surfaces.cli.output import console, errors, moment, print_facts, print_json, print_table

WATCH_MS = 20_000


def list_keys(
    *,
    where: Where = HERE,
) -> None:
    """List every key with its value in force in the server that answers."""
    with ask(where) as asking:
        found = asking.get("/v1/config")
    if where.json:
        print_json(found)
        return
    _warn(found)
    print_table(
        f"Keys of {found['instance']} at revision {found['revision']}",
        ("key", "in force", "version", "rules", "takes"),
        [
            (one["key"], _text(one["in_force"]), one["version"], len(one["rules"]), one["type"])
            for one in found["items"]
        ],
    )


def get(
    name: str,
    *,
    instance: str = "",
    market: str = "",
    subject: str = "",
    where: Where = HERE,
) -> None:
    """Show a key, and its value in force for an instance, a market or a subject.

    Parameters
    ----------
    name
        The key, such as switch.read_only.
    instance
        Ask as this instance would.
    market
        Ask for this market.
    subject
        Ask for this subject: a buyer, a seller, an app.
    """
    with ask(where) as asking:
        found = asking.get(f"/v1/config/keys/{name}", instance=instance, market=market, subject=subject)
    if where.json:
        print_json(found)
        return
    facts = {
        "in force": _text(found["in_force"]),
        "value": _text(found["value"]),
        "default": _text(found["default"]),
        "takes": found["type"],
        "version": found["version"],
        "meaning": found["sentence"],
        "alarm": found["alarm"] or "none",
    }
    facts |= {f"rule {place}": _rule(rule) for place, rule in enumerate(found["rules"], 1)}
    print_facts(name, facts)


def set_value(
    name: str,
    value: str = "",
    *,
    reason: str,
    instance: str = "",
    market: str = "",
    percent: str = "",
    default: bool = False,
    keep_rules: bool = False,
    seen: int | None = None,
    where: Where = HERE,
) -> None:
    """Set a key in every process; for some instances, markets or a share of the subjects when they are named.

    Setting it for everybody ends its rules. A value is JSON, or text where it is none.

    Parameters
    ----------
    name
        The key, such as switch.read_only.
    value
        The value: 250, true, '["GB"]'.
    reason
        Why; it stays in the history.
    instance
        Only for these instances, separated by commas.
    market
        Only for these markets, separated by commas.
    percent
        Only for this share of the subjects, such as 5 or 0.25. Growing it keeps those who have it.
    default
        Go back to the default instead of a value.
    keep_rules
        Keep the rules while setting the value for everybody else.
    seen
        The version you looked at; refused when somebody changed the key since. The newest when left out.
    """
    if bool(value) == default:
        raise Refusal("input.invalid", "Give a value or --default.", field="value")
    audience = {
        "instances": [one for one in instance.split(",") if one],
        "markets": [one for one in market.split(",") if one],
        "share_bps": _share(percent),
    }
    with ask(where) as asking:
        stands = asking.get(f"/v1/config/keys/{name}")
        body = _document(stands, _value(value), audience, default=default, keep_rules=keep_rules)
        body |= {"seen_version": stands["version"] if seen is None else seen, "reason": reason}
        written = asking.send("PUT", f"/v1/config/keys/{name}", body)
    _say(written, as_json=where.json)


def diff(
    name: str,
    old: int | None = None,
    new: int | None = None,
    *,
    where: Where = HERE,
) -> None:
    """Compare two versions of a key; the newest with the one before it when left out.

    Parameters
    ----------
    name
        The key.
    old
        A version; 0 is the default.
    new
        Another version.
    """
    with ask(where) as asking:
        if new is None:
            new = int(asking.get(f"/v1/config/keys/{name}")["version"])
        old = max(new - 1, 0) if old is None else old
        found = asking.get(f"/v1/config/keys/{name}/diff", old=str(old), new=str(new))
    if where.json:
        print_json({"key": name, "old": old, "new": new, **found})
    else:
        print_table(
            f"{name}: version {old} and {new}",
            ("what", f"in {old}", f"in {new}"),
            [(one["path"], _text(one["before"]), _text(one["after"])) for one in found["items"]],
        )


def history(
    name: str = "",
    *,
    limit: int = 20,
    where: Where = HERE,
) -> None:
    """Show who set what and why, newest first.

    Parameters
    ----------
    name
        The key; every key when left out.
    limit
        How many, at most 200.
    """
    with ask(where) as asking:
        found = asking.get("/v1/config/history", key=name, limit=limit)
    if where.json:
        print_json(found)
        return
    print_table(
        "What was set",
        ("when", "key", "version", "what", "value", "rules", "who", "why", "pushed"),
        [
            (
                moment(one["at_ms"]),
                one["key"],
                one["version"],
                one["kind"] + (f" to {one['from_version']}" if one["kind"] == "rollback" else ""),
                _text(one["value"]),
                len(one["rules"]),
                one["author"],
                one["reason"],
                "yes" if one["pushed"] else "waits",
            )
            for one in found["items"]
        ],
    )


def rollback(
    name: str,
    to: int | None = None,
    *,
    reason: str,
    seen: int | None = None,
    where: Where = HERE,
) -> None:
    """Put an earlier version in force again, as a new version; the one before the newest when left out.

    Parameters
    ----------
    name
        The key.
    to
        The version whose document shall be in force again; 0 is the default.
    reason
        Why; it stays in the history.
    seen
        The version you looked at; refused when somebody changed the key since. The newest when left out.
    """
    with ask(where) as asking:
        stands = int(asking.get(f"/v1/config/keys/{name}")["version"]) if seen is None else seen
        to = max(stands - 1, 0) if to is None else to
        body = {"to_version": to, "seen_version": stands, "reason": reason}
        written = asking.send("POST", f"/v1/config/keys/{name}/rollback", body)
    _say(written, as_json=where.json)


def watch(
    *,
    count: int = 0,
    where: Where = HERE,
) -> None:
    """Print changes as they reach the server, until interrupted.

    Parameters
    ----------
    count
        End after so many changes; 0 goes on.
    """
    seen = 0
    with ask(where) as asking:
        found = asking.get("/v1/config")
        while True:
            known = {one["key"]: one for one in found["items"]}
            found = _next(asking, found["revision"])
            for one in found["items"]:
                if one != known.get(one["key"]):
                    _tell(one, as_json=where.json)
                    seen += 1
            if count and seen >= count:
                return


def _next(asking: Asking, revision: int) -> Any:
    return asking.get("/v1/config", wait_s=WATCH_MS / 1000, after=revision, wait_ms=WATCH_MS)


def _tell(one: Any, *, as_json: bool) -> None:
    if as_json:
        console.file.write(msgspec.json.encode(one).decode() + "\n")
        console.file.flush()
        return
    rules = f", {len(one['rules'])} rules" if one["rules"] else ""
    console.print(
        f"{one['key']} = {_text(one['in_force'])} (version {one['version']}{rules})", highlight=False
    )


def _document(
    stands: Any, value: Any, audience: dict[str, Any], *, default: bool, keep_rules: bool
) -> dict[str, Any]:
    """The whole document that the wish leads to, from the one that stands."""
    is_set = stands["version"] and stands["value"] != stands["default"]
    base = {"value": stands["value"]} if is_set else {}
    if audience["instances"] or audience["markets"] or audience["share_bps"] < 10_000:
        # Shares of one audience replace each other, so that growing one is one command.
        others = [
            rule
            for rule in stands["rules"]
            if (rule["instances"], rule["markets"]) != (audience["instances"], audience["markets"])
        ]
        rules = others if default else [{**audience, "value": value}, *others]
        return {**base, "rules": rules}
    return {**({} if default else {"value": value}), "rules": stands["rules"] if keep_rules else []}


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _share(percent: str) -> int:
    """Basis points of a percentage with at most two decimals."""
    try:
        share = Decimal(percent or "100") * 100
        if share == int(share) and 0 <= share <= 10_000:
            return int(share)
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise Refusal("input.invalid", f"{percent!r} is no share.", field="percent", expected="0 to 100, as 0.25")


def _say(written: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(written)
        return
    console.print(f"{written['key']} is at version {written['version']}.", highlight=False)
    if not written["pushed"]:
        errors.print("The centre is away: it is written down and will be pushed when the centre is back.")


def _warn(found: Any) -> None:
    for alarm in found["alarms"]:
        errors.print(f"[bold red]{alarm['kind']}[/] {alarm['about']}: {alarm['detail']}", highlight=False)


def _text(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _rule(rule: Any) -> str:
    words = [
        f"instances {', '.join(rule['instances'])}" if rule["instances"] else "",
        f"markets {', '.join(rule['markets'])}" if rule["markets"] else "",
        f"{Decimal(rule['share_bps']) / 100} % of subjects" if rule["share_bps"] < 10_000 else "",
    ]
    return f"{_text(rule['value'])} for {' and '.join(word for word in words if word) or 'everybody'}"
