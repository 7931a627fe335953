"""Steps: small seeded values. A run is a list of them, so a failing list can be made shorter by leaving some out."""

from __future__ import annotations

import random
from collections.abc import Collection

import msgspec

WEIGHTS: dict[str, int] = {
    "buy_now": 170,
    "quote": 70,
    "place_quote": 70,
    "double_click": 35,
    "repeat": 60,
    "pay": 50,
    "redirect": 40,
    "cancel": 50,
    "cancel_lines": 45,
    "seller_work": 260,
    "ask_return": 50,
    "return_work": 60,
    "refund": 30,
    "ask_case": 40,
    "case_work": 60,
    "chargeback": 12,
    "receive": 60,
    "adjust": 12,
    "count": 15,
    "move": 25,
    "write_off": 12,
    "price": 15,
    "pause": 15,
    "seller_state": 10,
    "fill_cart": 30,
    "merge_carts": 15,
    "buy_cart": 20,
    "operate": 25,
    "jump": 30,
    "crash": 9,
    "cut": 12,
    "lose": 6,
    "rewind": 6,
}
"""Step kinds and how often each is drawn, in parts of their sum."""

NEEDS_FAULT = {"crash": "crash", "cut": "crash", "lose": "crash", "rewind": "duplicate"}


class Step(msgspec.Struct, frozen=True, array_like=True):
    """What happens next: its kind, and the seed of every choice and every delay in it."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed:x}"


def draw_steps(seed: str, count: int, faults: Collection[str]) -> list[Step]:
    """The steps of one day; the same seed, count and faults give the same list."""
    chance = random.Random(seed)
    left_out = {kind for kind, fault in NEEDS_FAULT.items() if fault not in faults}
    weights = {kind: weight for kind, weight in WEIGHTS.items() if kind not in left_out}
    kinds = chance.choices(list(weights), list(weights.values()), k=count)
    return [Step(kind, chance.getrandbits(40)) for kind in kinds]


def read_steps(text: str) -> list[Step]:
    """The steps of a printed list: `kind:seed`, separated by blanks. Raises ValueError for anything else."""
    steps = []
    for word in text.split():
        kind, _, seed = word.partition(":")
        if kind not in WEIGHTS:
            raise ValueError(f"{kind!r} is no step")
        steps.append(Step(kind, int(seed, 16)))
    return steps
