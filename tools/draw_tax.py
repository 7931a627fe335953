"""Draw docs/explanation/tax-rates.svg from the market files: every rate of every market on its `as_of` day.

python tools/draw_tax.py          writes the picture
python tools/draw_tax.py --check  ends with 1 when the committed one is stale
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from tradepost.kernel.market import Market
from tradepost.markets import all_markets

PICTURE = Path(__file__).parent.parent / "docs" / "explanation" / "tax-rates.svg"
ROW, LEFT, SCALE, TOP, PERCENT_MAX = 18, 150, 21, 46, 30


def across(bps: int) -> str:
    """The x of a rate, to a tenth of a pixel."""
    tenths = LEFT * 10 + bps * SCALE // 10
    return f"{tenths // 10}.{tenths % 10}"


def row(market: Market, y: int) -> list[str]:
    """One market: ticks for its regions, rings for reduced rates, a dot for the standard rate."""
    rates = market.tax_rates_bps
    day = market.at_midnight(market.as_of) if market.as_of else 0
    regional = sorted({market.at(day, region).tax_rates_bps["standard"] for region in market.regions})
    others = sorted({bps for category, bps in rates.items() if category != "standard"})
    found = [
        f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(market.name)}</text>',
        f'<line class="row" x1="{LEFT}" x2="{across(PERCENT_MAX * 100)}" y1="{y}" y2="{y}"/>',
    ]
    found += [
        f'<line class="region" x1="{across(bps)}" x2="{across(bps)}" y1="{y - 5}" y2="{y + 5}"/>'
        for bps in regional
    ]
    found += [f'<circle class="reduced" cx="{across(bps)}" cy="{y}" r="3.5"/>' for bps in others]
    found.append(f'<circle class="standard" cx="{across(rates["standard"])}" cy="{y}" r="4.5"/>')
    return found


def draw() -> str:
    """The whole picture; the same files give the same text."""
    markets = sorted(all_markets().values(), key=lambda found: (-found.tax_rates_bps["standard"], found.name))
    bottom = TOP + ROW * len(markets)
    width = LEFT + PERCENT_MAX * SCALE + 30
    style = (
        "text{font:12px sans-serif;fill:#444}.row{stroke:#e4e4e4}.grid{stroke:#cfcfcf}"
        ".standard{fill:#1f5fa8}.reduced{fill:#fff;stroke:#1f5fa8;stroke-width:1.5}"
        ".region{stroke:#d9822b;stroke-width:1.5}"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 24}" role="img" '
        'aria-label="Tax rates of every market">',
        f"<style>{style}</style>",
        f'<rect width="{width}" height="{bottom + 24}" fill="#fff"/>',
        f'<circle class="standard" cx="{LEFT + 5}" cy="14" r="4.5"/><text x="{LEFT + 16}" y="18">standard</text>',
        f'<circle class="reduced" cx="{LEFT + 95}" cy="14" r="3.5"/>'
        f'<text x="{LEFT + 105}" y="18">other categories</text>',
        f'<line class="region" x1="{LEFT + 225}" x2="{LEFT + 225}" y1="9" y2="19"/>'
        f'<text x="{LEFT + 233}" y="18">standard rate of a region or state</text>',
    ]
    for percent in range(0, PERCENT_MAX + 1, 5):
        x = across(percent * 100)
        lines.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 10}" y2="{bottom - 6}"/>')
        lines.append(f'<text x="{x}" y="{bottom + 10}" text-anchor="middle">{percent} %</text>')
    for place, market in enumerate(markets):
        lines += row(market, TOP + place * ROW)
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    """Write the picture, or check the committed one."""
    drawn = draw()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(drawn, encoding="utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text("utf-8") != drawn:
        sys.exit(f"{PICTURE.name} is stale: run python tools/draw_tax.py")


if __name__ == "__main__":
    main()
