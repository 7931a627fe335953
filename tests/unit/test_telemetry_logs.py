"""Logs: JSON lines that name their trace and hold no token, address or mail address, whatever is fed to them."""

from __future__ import annotations

import ast
import io
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tradepost
from tradepost.events.deferred import describe as describe_failure
from tradepost.infra.storage.group import Call, refuse_group
from tradepost.kernel.errors import Refusal
from tradepost.surfaces.api.problems import render_defect
from tradepost.telemetry.logs import JsonLines, configure_logs
from tradepost.telemetry.redact import KEPT_MESSAGES, TEXT_LETTERS_MAX, clean, tell
from tradepost.telemetry.trace import bound

SOURCE = Path(tradepost.__file__).parent
TOKENS = (
    "tp_seller_0123456789abcdefghjkmnpqrstvwx",
    "tp_operator_demo",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "v2.eyJvZmZlciI6Im9mZl8wMSJ9abcdef.c2lnbmF0dXJlLW9mLXRoZS1xdW90ZQ",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJieXIifQ.dozjgNryP4J3jVmNHl0w5N",
)
MAILS = ("ada.lovelace+shop@example.co.uk", "ann@example.com")
PLACES = ("12 St James Square", "SW1Y 4JH London", "Ada Lovelace")
NUMBERS = ("4242 4242 4242 4242", "+44 20 7946 0958")
ADDRESS = {"name": "Ada Lovelace", "line1": "12 St James Square", "postcode": "SW1Y 4JH London"}


class Buyer(msgspec.Struct):
    """As a row of ours prints itself."""

    name: str
    mail: str


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What reaches the log."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(process="api-1", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def secrets_in(text: str) -> list[str]:
    return [word for word in (*TOKENS, *MAILS, *PLACES, *NUMBERS) if word in text]


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in written.getvalue().splitlines()]


def log_calls() -> list[tuple[str, str, int]]:
    """(place, template, arguments) of every log call with a literal template in the source."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) not in ("log", "logger") or "testing" in path.parts:
                continue
            texts = [one for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if texts:
                after = len(node.args) - node.args.index(texts[0]) - 1
                found.append((f"{path.relative_to(SOURCE)}:{node.lineno}", texts[0].value, after))
    return found


def poisons() -> list[Any]:
    """What could be an argument of a log call and must not be told."""
    texts = [*TOKENS, *MAILS, *(f"Authorization: Bearer {token}" for token in TOKENS)]
    errors: list[BaseException] = [
        *(RuntimeError(f"cannot ship to {place}") for place in PLACES),
        KeyError(PLACES[0]),
        ValueError(f"{MAILS[0]} lives at {PLACES[0]}"),
        Refusal("input.invalid", f"{PLACES[0]} is no postcode", field=MAILS[0]),
        sqlite3.IntegrityError(f"Duplicate entry '{MAILS[1]}' for key 'mail'"),
        sqlite3.OperationalError(f'near "{PLACES[2]}": syntax error, card {NUMBERS[0]}'),
    ]
    told = [f"{type(error).__name__}: {error}" for error in errors]
    return [*texts, *errors, *told, ADDRESS, [ADDRESS], Buyer(PLACES[2], MAILS[0]), *map(repr, errors)]


CALLS = log_calls()


def test_the_source_has_log_calls_to_feed() -> None:
    assert len(CALLS) >= 15


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_no_log_call_tells_what_it_is_fed(call: tuple[str, str, int], written: io.StringIO) -> None:
    place, template, count = call
    logger = logging.getLogger("tradepost.fed")
    for poison in poisons():
        try:
            template % ((poison,) * count)
            args: tuple[Any, ...] = (poison,) * count
        except TypeError:  # a number is wanted somewhere: feed the poison only where words are
            marks = [mark for mark in template.replace("%%", "").split("%")[1:]]
            args = tuple(1 if mark[0] in "d." else poison for mark in marks)
        try:
            raise ValueError("while shipping") from (poison if isinstance(poison, BaseException) else None)
        except ValueError:
            logger.error(template, *args, exc_info=True)
    assert not secrets_in(written.getvalue()), place
    assert len(lines(written)) == len(poisons())


def test_what_breaks_for_real_is_told_by_type_and_place(written: io.StringIO) -> None:
    def ship() -> None:
        raise RuntimeError(f"cannot ship to {PLACES[0]} with {TOKENS[0]}")

    with bound("ab" * 16):
        try:
            ship()
        except RuntimeError as error:
            render_defect(error, "ab" * 16)
    (line,) = lines(written)
    assert (line["process"], line["trace_id"], line["level"]) == ("api-1", "ab" * 16, "error")
    assert line["error"][0]["error"] == "RuntimeError"
    assert line["error"][0]["at"][-1].startswith("tests/unit/test_telemetry_logs.py:")
    assert not secrets_in(written.getvalue())


def test_the_databases_words_are_kept_without_its_quotes(written: io.StringIO) -> None:
    refuse_group([Call(None)], sqlite3.OperationalError("database or disk is full"))
    refuse_group([Call(None)], sqlite3.IntegrityError(f"Duplicate entry '{MAILS[0]}' for key 'parties.mail'"))
    first, second = (line["event"] for line in lines(written))
    assert first == "a group was not committed: OperationalError: database or disk is full"
    assert second.startswith("a group was not committed: IntegrityError: Duplicate entry '[hidden]'")


def test_a_failed_delivery_is_told_without_its_message(written: io.StringIO) -> None:
    error = RuntimeError(f"{MAILS[0]} refused")
    logging.getLogger("tradepost.events").warning("%s failed: %s", "payments.pay", describe_failure(error))
    assert lines(written)[0]["event"] == "payments.pay failed: RuntimeError"


def test_foreign_loggers_are_cleaned_too(written: io.StringIO) -> None:
    told = f"Task exception was never retrieved\nfuture: <Task exception=RuntimeError('{PLACES[0]}')>"
    logging.getLogger("asyncio").error(told)
    logging.getLogger("driver").warning("connected to mysql://shop:pass@db/shop as %s", MAILS[0])
    text = written.getvalue()
    assert not secrets_in(text)
    assert ":pass@" not in text


def test_a_record_whose_arguments_do_not_fit_is_still_written() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%d of %s", ("many",), None)
    assert "do not fit" in msgspec.json.decode(JsonLines().format(record))["event"]


def test_a_line_outside_a_request_names_no_trace(written: io.StringIO) -> None:
    logging.getLogger("tradepost.x").info("revision %s at %s ms of %s", 7, 1_700_000_000_000, "orders.v1")
    (line,) = lines(written)
    assert "trace_id" not in line
    assert line["event"] == "revision 7 at 1700000000000 ms of orders.v1"


def test_what_operators_need_stays() -> None:
    kept = "ord_01hzx4y2k3m4n5p6q7r8s9t0vw.3 on shard 2 at 2026-11-23T09:21:40Z: it's 17 of 4096"
    assert clean(kept) == kept
    assert (
        tell(OSError(28, "No space left on device", f"/home/{MAILS[0]}"))
        == "OSError: No space left on device"
    )
    assert tell(Refusal("storage.overloaded", "More than 4096 calls.")) == "Refusal storage.overloaded"
    assert "ConnectionResetError" in KEPT_MESSAGES
    assert len(clean("x" * 100_000)) == TEXT_LETTERS_MAX + 3
