"""Quote tokens: signed, bounded, and those of earlier releases are still read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from typing import Any

import msgspec
import pytest

from tradepost.kernel.errors import Refusal
from tradepost.trade.checkout import Quote, QuotedOrder
from tradepost.trade.checkout.tokens import PLAIN_BYTES_MAX, TOKEN_BYTES_MAX, read_quote, sign_quote
from tradepost.trade.orders import OrderLine, StockItem
from tradepost.trade.pricing import Adjustment, Funder

SECRET = b"a secret of 32 bytes for testing"
LINE = OrderLine(
    line_no=1,
    offer_id="off_1",
    offer_version=2,
    sku_id="sku_1",
    sku_code="MUG",
    product_id="prd_1",
    title="Mug, blue",
    quantity=3,
    unit_price_e4=4,
    list_minor=5,
    adjustments=(Adjustment(code="half", reason="sale", funder=Funder.PLATFORM, amount_minor=-6),),
    total_minor=7,
    tax_minor=8,
    tax_rate_bps=9,
    tax_category="zero",
    pool="room-1",
    limit_per_buyer=10,
    components=(StockItem("sku_1", 11), StockItem("sku_2", 12)),
    content_id="vid_1",
    creator_id="cre_1",
    fee_bps=13,
    fee_minor=14,
)
KEPT = (
    "v2.AJ2lY2hrXzGlcGF5XzGlYnlyXzGiR0KjR0JQpHNob3ATFJGXpW9yZF8xpXNlbF8xkdwAFgGlb2ZmXzECpXNrdV8xo01VR6Vwc"
    "mRfMalNdWcsIGJsdWUDBAWRlKRoYWxmpHNhbGWocGxhdGZvcm36BwgJpHplcm-mcm9vbS0xCpKSpXNrdV8xC5Klc2t1XzIMpXZpZ"
    "F8xpWNyZV8xDQ4PEBESFRYXkqN0YXikaGFsZg.USTJDe29cHs24gOojtjsBKICzlpBLK0l_UbbnaJvnyA"
)
"""The token of `make_quote(1)` as the first release with this mark signed it."""


def make_quote(lines: int) -> Quote:
    order = QuotedOrder(
        order_id="ord_1",
        seller_id="sel_1",
        lines=(LINE,) * lines,
        total_minor=15,
        tax_minor=16,
        shipping_minor=17,
        fee_minor=18,
    )
    return Quote(
        checkout_id="chk_1",
        payment_id="pay_1",
        buyer_id="byr_1",
        market="GB",
        currency="GBP",
        scene="shop",
        made_at_ms=19,
        expires_at_ms=20,
        orders=(order,),
        total_minor=21,
        shipping_minor=22,
        tax_minor=23,
        trace=("tax", "half"),
    )


def sign(packed: bytes, tag: bytes = b"tradepost.quote.v2", mark: str = "v2.") -> str:
    payload = base64.urlsafe_b64encode(packed).rstrip(b"=")
    digest = hmac.new(SECRET, tag + payload, hashlib.sha256).digest()
    return f"{mark}{payload.decode()}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def sign_first(quote: Quote) -> str:
    """As the release before signed."""
    return sign(zlib.compress(msgspec.msgpack.encode(quote), 1), b"tradepost.quote.v1", "")


def unpack(token: str) -> Any:
    payload = token.split(".")[1]
    packed = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert packed[0] == 0
    return msgspec.msgpack.decode(packed[1:])


@pytest.mark.parametrize("lines", [0, 1, 2, 10, 12, 13, 14, 15, 16, 17, 18, 2_000])
def test_a_token_gives_its_quote_back(lines: int) -> None:
    quote = make_quote(lines)
    token = sign_quote(quote, SECRET)
    assert read_quote(token, SECRET) == quote == read_quote(sign_first(quote), SECRET)
    assert len(token) <= max(len(sign_first(quote)) + 64, PLAIN_BYTES_MAX * 3 // 2)


def test_a_token_of_the_first_release_with_its_mark_is_read() -> None:
    """When this fails, a field was put between others or lost its default: put it last, or make a new mark."""
    assert read_quote(KEPT, SECRET) == make_quote(1)


def test_fields_may_be_added_at_the_end() -> None:
    quote = make_quote(2)
    values = unpack(sign_quote(quote, SECRET))
    newer = sign(b"\0" + msgspec.msgpack.encode([*values, "what a later release added"]))
    assert read_quote(newer, SECRET) == quote
    older = sign(b"\0" + msgspec.msgpack.encode(values[: values.index(list(quote.trace))]))
    assert read_quote(older, SECRET) == msgspec.structs.replace(quote, trace=())


@pytest.mark.parametrize("secret", [b"another secret of thirty-two byt", SECRET[:-1]])
def test_another_secret_reads_nothing(secret: bytes) -> None:
    for token in (sign_quote(make_quote(1), SECRET), sign_first(make_quote(1))):
        with pytest.raises(Refusal, match="signature"):
            read_quote(token, secret)


def test_every_letter_counts() -> None:
    token = sign_quote(make_quote(1), SECRET)
    for at, letter in enumerate(token):
        other = token[:at] + ("A" if letter != "A" else "B") + token[at + 1 :]
        with pytest.raises(Refusal) as refused:
            read_quote(other, SECRET)
        assert refused.value.code == "checkout.quote_forged"
    with pytest.raises(Refusal):
        read_quote(token.removeprefix("v2."), SECRET)
    with pytest.raises(Refusal):
        read_quote("v2." + sign_first(make_quote(1)), SECRET)


def test_what_is_no_quote_is_refused() -> None:
    bomb = zlib.compress(b"\x00" * (TOKEN_BYTES_MAX + 1))
    bodies = [b"", b"\0", b"\1", b"\1x", b"\1" + bomb, b"\2" + bomb, b"\0" + msgspec.msgpack.encode([1])]
    tokens = [sign(body) for body in bodies] + [sign(body[1:], b"tradepost.quote.v1", "") for body in bodies]
    for token in (*tokens, "é.é", "v2.é.é", "", ".", "v2.", "v2.."):
        with pytest.raises(Refusal) as refused:
            read_quote(token, SECRET)
        assert refused.value.code == "checkout.quote_forged"
