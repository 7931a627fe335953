"""Make the demo shop's goods from the Online Retail data set: `python tools/make_demo_goods.py FILE.csv[.xz]`.

Takes the codes sold on the most lines that stand for real goods, each with its usual description and the median
of the prices it was sold at, and writes src/tradepost/demo/goods.csv. Source: Chen, D. (2015). Online Retail
[Dataset]. UCI Machine Learning Repository, https://doi.org/10.24432/C5BW33, CC BY 4.0.
"""

from __future__ import annotations

import csv
import lzma
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

GOODS_MAX = 1_000
TARGET = Path(__file__).parents[1] / "src" / "tradepost" / "demo" / "goods.csv"
GOODS_CODE = re.compile(r"\d{5}[A-Z]{0,2}\Z")
SMALL = {"a", "and", "at", "by", "for", "from", "in", "of", "on", "the", "to", "with"}
KEPT = {"LED", "UK", "USA", "CD", "DVD", "TV", "II", "EU", "FBA", "BBQ", "3D"}
WORD = re.compile(r"[A-Za-z0-9'’]+")


def title_of(description: str) -> str:
    """Capitals as in a shop window: `SET OF 3 CAKE TINS` becomes `Set of 3 Cake Tins`."""
    text = re.sub(r"\s+", " ", description).strip(" ,.").replace(" ,", ",")

    def cased(found: re.Match[str]) -> str:
        word = found.group()
        if word in KEPT or (any(letter.isdigit() for letter in word) and len(word) < 3):
            return word
        if word.lower() in SMALL and found.start():
            return word.lower()
        return word[:1].upper() + word[1:].lower()

    return WORD.sub(cased, text)


def price_pence(text: str) -> int:
    """Whole pence of a price text, cut after the second decimal."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 100 + int(fraction[:2].ljust(2, "0"))


def goods_of(rows: csv.DictReader[str]) -> list[tuple[str, str, int]]:
    """(code, title, price in pence) of the goods sold most often, in order of code."""
    lines: Counter[str] = Counter()
    names: defaultdict[str, Counter[str]] = defaultdict(Counter)
    prices: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        code, name, price = row["StockCode"], row["Description"].strip(), row["UnitPrice"]
        real = name.isupper() and len(name) > 5 and "?" not in name and not row["InvoiceNo"].startswith("C")
        if not GOODS_CODE.match(code) or not real or price.startswith("-") or price_pence(price) == 0:
            continue
        lines[code] += 1
        names[code][name] += 1
        prices[code].append(price_pence(price))
    chosen = sorted(lines, key=lambda code: (-lines[code], code))[:GOODS_MAX]
    return [
        (code, title_of(names[code].most_common(1)[0][0]), sorted(prices[code])[len(prices[code]) // 2])
        for code in sorted(chosen)
    ]


def main() -> None:
    """Read the file named on the command line and write the goods."""
    source = Path(sys.argv[1])
    opened = lzma.open if source.suffix == ".xz" else open
    with (
        opened(source, "rt", encoding="utf-8", newline="") as lines,
        TARGET.open("w", encoding="utf-8", newline="") as target,
    ):
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(("code", "description", "price_gbp"))
        for code, title, pence in goods_of(csv.DictReader(lines)):
            writer.writerow((code, title, f"{pence // 100}.{pence % 100:02d}"))


if __name__ == "__main__":
    main()
