"""Carts under hypothesis: merging is the same either way round, and a cart always is what its edits say."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.memory_tx import MemoryDatabase

from tradepost.infra.storage import frames
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade.cart import (
    EDIT,
    Cart,
    CartCommand,
    CartLine,
    PutLine,
    RemoveLines,
    SelectLines,
    carts_of,
)
from tradepost.trade.cart.model import Change
from tradepost.trade.cart.rules import apply, close_into, merge_lines, take_in

OFFERS = st.sampled_from([f"off_{number}" for number in range(6)])


def _lines(lines: list[CartLine]) -> tuple[CartLine, ...]:
    return tuple({line.offer_id: line for line in lines}.values())


LINES = st.lists(
    st.builds(
        CartLine,
        offer_id=OFFERS,
        seller_id=st.just("sel_1"),
        quantity=st.integers(1, 100_000),
        selected=st.booleans(),
        content_id=st.sampled_from(["", "vid_1", "vid_2"]),
        quantity_max=st.sampled_from([0, 5, 1_000]),
        added_at_ms=st.integers(0, 5),
        touched_at_ms=st.integers(0, 5),
    ),
    max_size=8,
).map(_lines)


@given(LINES, LINES, st.integers(1, 8))
def test_merging_is_the_same_either_way_round_and_within_bounds(
    ours: tuple[CartLine, ...], theirs: tuple[CartLine, ...], lines_max: int
) -> None:
    merged = merge_lines(ours, theirs, lines_max)
    assert merged == merge_lines(theirs, ours, lines_max)
    offers = {line.offer_id for line in (*ours, *theirs)}
    assert len(merged) == min(len(offers), lines_max)
    for line in merged:
        both = [one for one in (*ours, *theirs) if one.offer_id == line.offer_id]
        assert line.quantity <= sum(one.quantity for one in both)
        bounds = [one.quantity_max for one in both if one.quantity_max]
        assert len(both) == 1 or line.quantity <= min([100_000, *bounds])
        newest = max(one.touched_at_ms for one in both)
        assert line.content_id in [one.content_id for one in both if one.touched_at_ms == newest]


@given(LINES, LINES)
def test_taking_a_cart_in_twice_is_taking_it_in_once(
    ours: tuple[CartLine, ...], theirs: tuple[CartLine, ...]
) -> None:
    buyer = Cart(cart_id="crt_b", buyer_id="byr_b", market="GB", lines=ours)
    guest = close_into(Cart(cart_id="crt_g", buyer_id="byr_g", market="GB", lines=theirs), "crt_b", 9)
    assert close_into(guest, "crt_b", 10) is guest
    once = take_in(buyer, guest, 9)
    assert take_in(once, guest, 10) is once


class CartMachine(RuleBasedStateMachine):
    """A cart beside a dictionary of quantities; every version is one accepted edit."""

    LINES_MAX = 4

    def __init__(self) -> None:
        super().__init__()
        self.cart = Cart(cart_id="crt_1", buyer_id="byr_1", market="GB")
        self.quantities: dict[str, int] = {}
        self.selected: set[str] = set()
        self.at_ms = 0

    def edit(self, *changes: Change) -> bool:
        """Whether the cart took the changes; a refusal or a no-op leaves the very same cart."""
        self.at_ms += 1
        before = self.cart
        command = CartCommand(
            cart_id="crt_1",
            buyer_id="byr_1",
            market="GB",
            at_ms=self.at_ms,
            changes=changes,
            lines_max=self.LINES_MAX,
        )
        try:
            self.cart = apply(before, command)
        except Refusal:
            return False
        assert self.cart is before or self.cart.version == before.version + 1
        return True

    @rule(offer_id=OFFERS, quantity=st.integers(-1, 8), add=st.booleans())
    def put(self, offer_id: str, quantity: int, add: bool) -> None:
        """Add or set, at most ten of each offer."""
        wanted = quantity + (self.quantities.get(offer_id, 0) if add else 0)
        fits = len(self.quantities.keys() | {offer_id}) <= self.LINES_MAX
        change = PutLine(offer_id=offer_id, seller_id="sel_1", quantity=quantity, add=add, quantity_max=10)
        taken = self.edit(change)
        assert taken == (quantity > 0 and wanted <= 10 and fits)
        if taken:
            self.selected |= set() if offer_id in self.quantities else {offer_id}
            self.quantities[offer_id] = wanted

    @rule(offer_ids=st.sets(OFFERS))
    def remove(self, offer_ids: set[str]) -> None:
        """Removing what is not there is fine."""
        assert self.edit(RemoveLines(offer_ids=tuple(offer_ids)))
        for offer_id in offer_ids:
            self.quantities.pop(offer_id, None)
        self.selected -= offer_ids

    @rule(offer_ids=st.sets(OFFERS, min_size=1), selected=st.booleans())
    def select(self, offer_ids: set[str], selected: bool) -> None:
        """All of the named lines or none."""
        taken = self.edit(SelectLines(offer_ids=tuple(offer_ids), selected=selected))
        assert taken == (offer_ids <= self.quantities.keys())
        if taken:
            self.selected = self.selected | offer_ids if selected else self.selected - offer_ids

    @rule(offer_id=OFFERS)
    def all_or_nothing(self, offer_id: str) -> None:
        """A good change beside a bad one is not kept."""
        good = PutLine(offer_id=offer_id, seller_id="sel_1", quantity=1)
        bad = PutLine(offer_id=offer_id, seller_id="sel_1", quantity=0)
        assert not self.edit(good, bad)

    @invariant()
    def the_cart_is_what_the_edits_say(self) -> None:
        """Quantities and selection agree, and the cart survives its encoding."""
        assert {line.offer_id: line.quantity for line in self.cart.lines} == self.quantities
        assert {line.offer_id for line in self.cart.lines if line.selected} == self.selected
        assert msgspec.json.decode(msgspec.json.encode(self.cart), type=Cart) == self.cart


CartMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCartMachine = CartMachine.TestCase


WORLD = TestWorld()
BUYERS = [WORLD.mint("buyer", gene) for gene in (3, 4)]
CART_IDS = [WORLD.mint("cart", gene) for gene in (3, 3, 4)]
CHANGES = st.one_of(
    st.builds(
        PutLine,
        offer_id=OFFERS,
        seller_id=st.just("sel_1"),
        quantity=st.integers(0, 6),
        add=st.booleans(),
        quantity_max=st.just(10),
    ),
    st.builds(RemoveLines, offer_ids=st.lists(OFFERS, max_size=2).map(tuple)),
    st.builds(SelectLines, offer_ids=st.lists(OFFERS, max_size=2).map(tuple), selected=st.booleans()),
)
COMMANDS = st.builds(
    CartCommand,
    cart_id=st.sampled_from(CART_IDS),
    buyer_id=st.sampled_from(BUYERS),
    market=st.just("GB"),
    at_ms=st.integers(1, 9),
    changes=st.lists(CHANGES, max_size=3).map(tuple),
    version=st.sampled_from([0, 0, 0, 1, 2, 3]),
    create=st.booleans(),
    lines_max=st.just(3),
)


def _told(answers: list[Any]) -> list[Any]:
    return [
        (one.code, one.detail, one.extra) if isinstance(one, Refusal) else msgspec.to_builtins(one)
        for one in answers
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, max_size=16))
def test_a_batch_is_its_commands_in_turn(commands: list[CartCommand]) -> None:
    """Several commands of one cart, good and bad ones, answer and leave what they would one after the other."""
    decode = frames.item_decoder(EDIT.name).decode
    travelled = [decode(frames.pack_item(command)) for command in commands]
    assert travelled == commands
    together, in_turn = MemoryDatabase(), MemoryDatabase()
    answers = together.run(EDIT.handle, travelled)
    alone = [in_turn.run(EDIT.handle, [command])[0] for command in commands]
    assert _told(answers) == _told(alone)
    for buyer_id in BUYERS:
        assert together.run(carts_of, buyer_id) == in_turn.run(carts_of, buyer_id)
    together.close()
    in_turn.close()
