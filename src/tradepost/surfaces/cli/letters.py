"""`tradepost letters`: what could not be delivered. Those of the database are asked of a server, those of the broker
of the broker itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tradepost.app.letters import Unread, discard_unread, replay_unread, unread_letters
from tradepost.kernel.errors import Refusal
from tradepost.settings import Settings
from tradepost.surfaces.cli.asking import HERE, Where, ask
from tradepost.surfaces.cli.output import console, moment, print_json, print_table
from tradepost.surfaces.cli.serve import read_settings

SHOWN = 200


def list_letters(*, broker: bool = False, limit: int = SHOWN, where: Where = HERE) -> None:
    """List dead letters: deliveries that failed too often, or with --broker messages that nobody could read.

    Parameters
    ----------
    broker
        Look at the broker's dead-letter topic; what was looked at is out of sight for 10 s.
    limit
        How many at most: 200 of a server, 1,000 of the broker.
    """
    if broker:
        _show(asyncio.run(unread_letters(_settings(where), limit)), "Unreadable", as_json=where.json)
        return
    with ask(where) as asking:
        found = asking.get("/v1/dead-letters", limit=limit)
    if where.json:
        print_json(found)
        return
    print_table(
        "Dead letters",
        ("consumer", "event", "attempts", "since", "error"),
        [
            (
                one["consumer"],
                f"{one['aggregate_id']}.{one['version']}",
                one["attempts"],
                moment(one["at_ms"]),
                one["error"],
            )
            for one in found["items"]
        ],
    )


def replay(letter: str = "", *, consumer: str = "", broker: bool = False, where: Where = HERE) -> None:
    """Deliver dead letters again: one, or all of them when none is named.

    Parameters
    ----------
    letter
        An event such as ord_....2; with --broker the id of a message.
    consumer
        Only those of this consumer.
    broker
        Send what is on the broker's dead-letter topic and can be read now to every consumer again.
    """
    if broker:
        if consumer:
            raise Refusal("input.invalid", "What nobody could read goes to every consumer.", field="consumer")
        _show(asyncio.run(replay_unread(_settings(where), letter)), "Sent again", as_json=where.json)
        return
    sent: list[Any] = []
    with ask(where) as asking:
        for one in asking.get("/v1/dead-letters", limit=SHOWN)["items"]:
            event_id = f"{one['aggregate_id']}.{one['version']}"
            if letter in ("", event_id) and consumer in ("", one["consumer"]):
                named = {name: one[name] for name in ("consumer", "aggregate_id", "version")}
                sent.append(
                    asking.send("POST", "/v1/dead-letters/replay", named) | {"consumer": one["consumer"]}
                )
    if letter and not sent:
        raise Refusal("events.dead_letter_unknown", f"There is no dead letter {letter}.", field="letter")
    if where.json:
        print_json(sent)
    else:
        console.print(f"{len(sent)} deliveries are tried again.", highlight=False)


def discard(letter: str, *, where: Where = HERE) -> None:
    """Take one message off the broker's dead-letter topic for good. Events of the database are never thrown away.

    Parameters
    ----------
    letter
        The id of the message.
    """
    _show(asyncio.run(discard_unread(_settings(where), letter)), "Taken off", as_json=where.json)


def _settings(where: Where) -> Settings:
    return read_settings(where.config)


def _show(letters: Sequence[Unread], title: str, *, as_json: bool) -> None:
    if as_json:
        print_json([_as_text(letter) for letter in letters])
        return
    print_table(
        title,
        ("message", "subscription", "type", "error", "bytes"),
        [(one.letter_id, one.subscription, one.type, one.error, len(one.body)) for one in letters],
    )


def _as_text(letter: Unread) -> dict[str, str]:
    return {
        "letter_id": letter.letter_id,
        "subscription": letter.subscription,
        "type": letter.type,
        "error": letter.error,
        "body": letter.body.decode(errors="replace"),
    }
