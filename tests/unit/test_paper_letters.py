"""Letters of PDFs: every market's names have glyphs, and right-to-left lines are in the order they are read."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import unicodedata
import zlib

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from tradepost import markets
from tradepost.surfaces import paper
from tradepost.surfaces.paper import bidi
from tradepost.surfaces.paper.letters import ShapedText, is_shaped, missing_letters
from tradepost.surfaces.paper.sheet import Block, Sheet, Table

ARABIC = "شركة المثال التجارية"
THAI = "บริษัท ตัวอย่าง จำกัด ถนนสุขุมวิท"
WORDS = {
    "TH": THAI,
    "SA": f"{ARABIC} شارع الملك فهد 1234، الرياض",
    "KW": "قطعة ٤ شارع ١٢ (مبنى ب) الكويت",
    "GR": "Οδός Ερμού 12, Αθήνα",
    "BG": "бул. Витоша 7, София",
    "VN": "12 Đường Nguyễn Huệ, Quận 1, Thành phố Hồ Chí Minh",
    "PL": "ul. Świętokrzyska 3, Łódź",
    "RO": "Strada Ștefan cel Mare, Târgu Mureș",
    "HU": "Üllői út 12, Győr",
    "LV": "Brīvības iela, Rīga",
    "MT": "Triq il-Għajn, Ħamrun",
    "CZ": "Na Příkopě 1, Plzeň",
    "TR in DE": "Gülşen Yıldız",
}


def sheet(*lines: str, cell: str = "x") -> Sheet:
    return Sheet(
        title="Invoice",
        subtitle=lines[0],
        facts=(("Number", "TH-000001"),),
        blocks=(Block(title="Buyer", lines=lines),),
        tables=(
            Table(title="Lines", columns=("What", "Gross"), rows=((cell, "1.00"),), right=frozenset({1})),
        ),
        totals=(("Total", "1.00 THB"),),
    )


def contents(document: bytes) -> str:
    """The page contents of a PDF of ours: streams in base 85, deflated."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", document, re.DOTALL):
        try:
            found.append(zlib.decompress(base64.a85decode(stream.strip(), adobe=False)))
        except ValueError:
            try:
                found.append(zlib.decompress(base64.a85decode(b"<~" + stream.strip(), adobe=True)))
            except (ValueError, zlib.error):
                continue
        except zlib.error:
            continue
    return b"\n".join(found).decode("latin-1")


def read_aloud(document: bytes) -> list[str]:
    """The texts a reader copies for lines that were shaped."""
    found = re.findall(r"/ActualText <FEFF([0-9A-F]*)>", contents(document))
    return [bytes.fromhex(text).decode("utf-16-be") for text in found]


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_every_markets_letters_are_there(words: str) -> None:
    assert missing_letters(words) == set()
    assert paper.to_pdf(sheet(words, cell=words)).startswith(b"%PDF-")


@pytest.mark.parametrize("code", markets.codes())
def test_the_words_of_every_markets_locale_are_there(code: str) -> None:
    locale = Locale.parse(markets.market(code).locale)
    names = [*locale.territories.values(), *locale.months["format"]["wide"].values()]
    latin_or_known = [name for name in names if not missing_letters(name)]
    assert len(latin_or_known) == len(names), missing_letters("".join(names))


def test_what_no_font_has_is_known() -> None:
    assert missing_letters("שלום नमस्ते") >= {"ש", "न"}
    assert paper.to_pdf(sheet("שלום नमस्ते 🙂")).startswith(b"%PDF-")


@pytest.mark.parametrize("words", [THAI, ARABIC, f"{ARABIC} 12/3 (VIP) Ltd"])
def test_shaped_lines_can_be_copied_in_the_order_they_are_read(words: str) -> None:
    told = read_aloud(paper.to_pdf(sheet(words, cell=words)))
    assert told.count(words) >= 2
    assert " ".join(words for words in told).count(words) >= 3


def test_a_long_line_is_broken_between_words_and_loses_none() -> None:
    words = " ".join([ARABIC] * 12)
    told = read_aloud(paper.to_pdf(sheet(words)))
    assert len(told) > 3
    assert " ".join(told).split() == words.split() * 2  # the subtitle and the buyer


def test_thai_without_blanks_is_broken_within_the_space_and_between_clusters() -> None:
    words = "กรุงเทพมหานครอมรรัตนโกสินทร์น้ำใจไมตรี" * 4
    text = ShapedText(words, 9, bold=False, color=None, right=False)
    text.wrap(120, 500)
    assert "".join(line.text for line in text._lines) == words
    assert len(text._lines) > 4
    assert max(line.width for line in text._lines) <= 120
    assert not any(line.text[-1] in "เแโใไ" or is_bound(line.text[0]) for line in text._lines)


def is_bound(letter: str) -> bool:
    return unicodedata.category(letter) == "Mn" or letter in "ะาำ"


def test_letters_are_joined_and_marks_are_set_above_each_other() -> None:
    joined = ShapedText("بب", 9, bold=False, color=None, right=False)
    joined.wrap(500, 500)
    (part,) = joined._lines[0].parts
    alone = ShapedText("ب ب", 9, bold=False, color=None, right=False)
    alone.wrap(500, 500)
    apart = {letter for each in alone._lines[0].parts for letter in each.drawn}
    assert len(set(part.drawn) - apart) == 2, "the first and the last letter of a word look unlike one alone"
    tone = ShapedText("ที่", 9, bold=False, color=None, right=False)
    tone.wrap(500, 500)
    bare = ShapedText("ท", 9, bold=False, color=None, right=False)
    bare.wrap(500, 500)
    assert tone._lines[0].width == pytest.approx(bare._lines[0].width), (
        "vowel and tone stand above the letter"
    )


def test_a_document_is_the_same_whatever_was_made_before_it() -> None:
    program = (
        "import hashlib, sys\n"
        "from tests.unit.test_paper_letters import ARABIC, THAI, sheet\n"
        "from tradepost.surfaces import paper\n"
        "for words in sys.argv[1:]: print(hashlib.sha256(paper.to_pdf(sheet(words))).hexdigest())\n"
    )

    def made(*words: str) -> list[str]:
        run = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True, timeout=120
        )
        return run.stdout.split()

    first, second = made(ARABIC, THAI)
    assert made(THAI, ARABIC) == [second, first]


@pytest.mark.parametrize("plain", ["Home & Hearth", "Οδός Ερμού", "бул. Витоша", "白いハート"])
def test_what_needs_no_shaping_stays_a_paragraph(plain: str) -> None:
    assert not is_shaped(plain)


SEEN = [
    # (as written, as seen from left to right), capitals standing for letters that are read from the right
    ("car means CAR.", "car means RAC."),
    ("CAR means car.", ".means car RAC"),
    ("he said 'CAR MEANS car'.", "he said 'SNAEM RAC car'."),
    ("CAR 123-45", "123-45 RAC"),
    ("123 CAR", "RAC 123"),
    ("A 10% B", "B 10% A"),
    ("CAR (car) BIKE", "EKIB (car) RAC"),
    ("1,234.50 CAR", "RAC 1,234.50"),
    ("", ""),
]
HEBREW = {chr(ord("A") + index): chr(0x05D0 + index) for index in range(26)}
LATIN = {hebrew: latin for latin, hebrew in HEBREW.items()}


@pytest.mark.parametrize(("written", "seen"), SEEN)
def test_the_order_in_which_a_line_is_seen(written: str, seen: str) -> None:
    """Examples in the manner of Annex 9: capitals are letters of a script that is read from the right."""
    text = "".join(HEBREW.get(letter, letter) for letter in written)
    levels = bidi.levels_of(text, from_right=bidi.is_from_right(text))
    letters = [
        bidi.mirror(text[index]) if levels[index] % 2 else text[index] for index in bidi.seen_order(levels)
    ]
    assert "".join(LATIN.get(letter, letter) for letter in letters) == seen


def test_arabic_numbers_keep_their_direction() -> None:
    text = "شارع ١٢ مبنى 7"
    levels = bidi.levels_of(text, from_right=True)
    assert [levels[text.index(digit)] for digit in "١٢7"] == [2, 2, 2]


@given(st.text(alphabet=st.sampled_from("aאب1٣ ,.%-()ก์"), max_size=40), st.booleans())
def test_every_letter_is_seen_once(text: str, from_right: bool) -> None:
    order = bidi.seen_order(bidi.levels_of(text, from_right=from_right))
    assert sorted(order) == list(range(len(text)))


def test_letters_that_only_steer_are_dropped() -> None:
    assert bidi.clean("a\u202eb\u2067c\u2069") == "abc"
