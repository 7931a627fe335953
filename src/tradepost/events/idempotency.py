"""Kept answers: an Idempotency-Key, the hash of its request and the response, in the commit of the effect."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.events import store
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import Tx

declare_problems(
    {
        "idempotency.key_reused": (
            Kind.UNPROCESSABLE,
            "Idempotency-Key was used for another request",
            "Use a new key for a new request; repeat a request byte by byte with its own key.",
        ),
    }
)


def key_reused() -> Refusal:
    """The refusal of a key that stands for another request."""
    return Refusal(
        "idempotency.key_reused",
        "This Idempotency-Key was sent before with another body.",
        field="Idempotency-Key",
        expected="a new key for a new request",
    )


class Kept(msgspec.Struct, frozen=True):
    """The answer given under a key, for 30 days. `scope` keeps callers and commands apart."""

    gene: int
    scope: str
    key: str
    request_hash: str
    status: int
    response: bytes
    at_ms: int


def find(tx: Tx, gene: int, scope: str, key: str) -> Kept | None:
    """The answer kept under this key, or None."""
    return find_all(tx, [(gene, scope, key)]).get((scope, key))


def find_all(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> dict[tuple[str, str], Kept]:
    """Kept answers by (scope, key), for keys given as (gene, scope, key); one statement for 256 of them."""
    genes = {key[1:]: key[0] for key in keys}
    return {(row[0], row[1]): Kept(genes[row[0], row[1]], *row) for row in store.kept_rows(tx, keys)}


def keep(tx: Tx, kept: Kept) -> None:
    """Keep an answer in this commit. Raises Taken when the key already has one."""
    keep_all(tx, [kept])


def keep_all(tx: Tx, answers: Sequence[Kept]) -> None:
    """Keep many answers with one statement. Raises Taken when one of the keys already has one."""
    store.keep_rows(
        tx, [(k.gene, k.scope, k.key, k.request_hash, k.status, k.response, k.at_ms) for k in answers]
    )
