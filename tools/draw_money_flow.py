"""Draw docs/explanation/money-flow.svg: the way of one order's money, with the amounts the real rules book.

python tools/draw_money_flow.py            write it
python tools/draw_money_flow.py --check    end with 1 when it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tradepost.kernel.money import to_major
from tradepost.trade.payments import Funding, booking
from tradepost.trade.payments.funding import Side
from tradepost.trade.payments.model import Body, Payment, Share

OUT = Path(__file__).parent.parent / "docs/explanation/money-flow.svg"
ORDER = "ord_01m4xk9v0c7s8p2q3r4t5v6w7x"
WIDTH, HEIGHT = 980, 470
BOXES: dict[str, tuple[int, int, str, str]] = {
    "buyer": (20, 150, "Buyer", ""),
    "provider": (210, 150, "provider:sandbox", "money at the provider"),
    "fees": (430, 30, "platform:fees", "the platform's fee"),
    "tax": (430, 100, "tax:GB", "tax collected"),
    "seller": (430, 190, "seller:sel_1", "owed, on the order's shard"),
    "promotions": (210, 260, "platform:promotions", "what the platform funds"),
    "creator": (210, 330, "creator:cre_1", "what the creator funds"),
    "transit": (430, 290, "transit:settlement", "drains to zero"),
    "payable": (660, 290, "payable:sel_1", "due, on the seller's shard"),
    "reserve": (660, 190, "reserve:sel_1", "held back for a while"),
    "clearing": (660, 390, "bank:clearing", "payouts under way"),
    "bank": (872, 390, "bank", "paid"),
}
BOX_W, BOX_H = 170, 46


def amounts() -> dict[tuple[str, str], int]:
    """What a sale of 12.00 moves, of which the platform pays 2.00 and the creator 1.00."""
    share = Share(ORDER, "sel_1", 900, 45, 150, "GB", captured=900)
    sides = (Side(ORDER, (Funding("platform:promotions", 200), Funding("creator:cre_1", 100))),)
    payment = Payment(
        payment_id="pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
        checkout_id="chk",
        buyer_id="byr",
        provider="sandbox",
        currency="GBP",
        amount_minor=900,
        state="CAPTURED",
        body=Body("card", "immediate", (share,), postings=1),
        sides=sides,
    )
    sums: dict[str, int] = {}
    for posting in (booking.post_whole(payment, 0), *booking.book_funding(payment, [(ORDER, 900)], 0)):
        for entry in posting.entries:
            sums[entry.account] = sums.get(entry.account, 0) + entry.amount_minor
    owed = -sums["seller:sel_1"]
    own = 900 - 45 - 150
    return {
        ("buyer", "provider"): sums["provider:sandbox"],
        ("provider", "fees"): -sums["platform:fees"],
        ("provider", "tax"): -sums["tax:GB"],
        ("provider", "seller"): own,
        ("promotions", "seller"): sums["platform:promotions"],
        ("creator", "seller"): sums["creator:cre_1"],
        ("seller", "transit"): owed,
        ("transit", "payable"): owed,
        ("payable", "reserve"): owed // 10,
        ("payable", "clearing"): owed - owed // 10,
        ("clearing", "bank"): owed - owed // 10,
    }


def draw() -> str:
    """The whole picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui,sans-serif"'
        ' font-size="12"><style>.b{fill:#f4f7fa;stroke:#8795a3}.t{fill:#1b1f24;font-weight:600}.s{fill:#57606a}'
        ".a{stroke:#3b6ea5;fill:none}.n{fill:#1f4f82;font-weight:600}.g{fill:none;stroke:#c5ced6;stroke-dasharray:5 4}"
        "</style>"
        '<defs><marker id="m" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#3b6ea5"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        '<rect class="g" x="200" y="14" width="410" height="372" rx="8"/><text class="s" x="208" y="404">'
        "the order's shard, one commit with the payment's result</text>",
        '<rect class="g" x="650" y="172" width="190" height="276" rx="8"/><text class="s" x="658" y="464">'
        "the seller's shard</text>",
    ]
    for (start, end), amount in amounts().items():
        parts.append(_arrow(start, end, amount))
    for x, y, name, what in BOXES.values():
        width = BOX_W if what != "paid" and name != "Buyer" else 100
        parts.append(f'<rect class="b" x="{x}" y="{y}" width="{width}" height="{BOX_H}" rx="6"/>')
        parts.append(f'<text class="t" x="{x + 10}" y="{y + 19}">{name}</text>')
        parts.append(f'<text class="s" x="{x + 10}" y="{y + 36}" font-size="10">{what}</text>')
    return "".join(parts) + "</svg>\n"


def _arrow(start: str, end: str, amount: int) -> str:
    (x1, y1, name, what), (x2, y2, _, _) = BOXES[start], BOXES[end]
    width = BOX_W if what != "paid" and name != "Buyer" else 100
    middle = BOX_H // 2
    if x1 == x2:
        down = y2 > y1
        x, begin, stop = x1 + BOX_W // 2, y1 + (BOX_H if down else 0), y2 + (0 if down else BOX_H)
        label_x, label_y = x + 6, (begin + stop) // 2 + 4
    else:
        x, begin, stop = x1 + width, y1 + middle, y2 + middle
        label_x, label_y = (x + x2) // 2 - 14, (begin + stop) // 2 - 6
    to_x = x if x1 == x2 else x2
    return (
        f'<path class="a" marker-end="url(#m)" d="M{x} {begin}L{to_x} {stop}"/>'
        f'<text class="n" x="{label_x}" y="{label_y}">{to_major(amount, "GBP")}</text>'
    )


def main() -> None:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true")
    wanted = draw()
    if parser.parse_args().check:
        sys.exit(0 if OUT.exists() and OUT.read_text("utf-8") == wanted else 1)
    OUT.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main()
