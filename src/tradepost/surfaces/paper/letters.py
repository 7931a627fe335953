"""Letters of a PDF: which font has them, and lines of scripts that must be shaped or are read from the right.

Latin, Greek, Cyrillic, Thai and Arabic letters are in fonts that lie beside this module (Noto Sans, SIL Open Font
License 1.1, subsets); Chinese, Japanese and Korean ones in a font that every PDF reader has. What is left (such as
Hebrew, Devanagari or pictures) is shown as an empty box: the HTML page has it.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import as_file, files
from typing import Any, Final

import msgspec
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import ShapedStr, TTFont, shapeStr
from reportlab.platypus import Flowable

from tradepost.surfaces.paper import bidi

LATIN, THAI, ARABIC, CJK = "NotoSans", "NotoSansThai", "NotoSansArabic", "HeiseiKakuGo-W5"
_FILES: Final = (LATIN, THAI, ARABIC)
_SCRIPTS: Final = (
    (0x0600, 0x06FF, ARABIC),
    (0x0750, 0x077F, ARABIC),
    (0x08A0, 0x08FF, ARABIC),
    (0x0E00, 0x0E7F, THAI),
    (0x2E80, 0xD7FF, CJK),
    (0xF900, 0xFAFF, CJK),
    (0xFB50, 0xFDFF, ARABIC),
    (0xFE30, 0xFE4F, CJK),
    (0xFE70, 0xFEFE, ARABIC),
    (0xFF00, 0xFFEF, CJK),
)
_SHAPED: Final = (THAI, ARABIC)
_BREAKS: Final = " /-"
_BEFORE: Final = "เแโใไ"
"""Thai vowels that are written before the letter they belong to."""
_AFTER: Final = "ะาำๅๆ"
"""Those behind it that are no marks."""
_lock = threading.Lock()
_registered = False


def load_fonts() -> None:
    """Register every font, once a process."""
    global _registered  # noqa: PLW0603 - the library's own registry is of the process too
    with _lock:
        if _registered:
            return
        for family in _FILES:
            for weight, suffix in (("", "Regular"), ("-Bold", "Bold")):
                with as_file(files(__package__) / "fonts" / f"{family}-{suffix}.ttf") as path:
                    font = TTFont(f"{family}{weight}", str(path))
                pdfmetrics.registerFont(font)
                if family in _SHAPED:
                    _name_all_glyphs(font)
        pdfmetrics.registerFont(UnicodeCIDFont(CJK))
        _registered = True


def _name_all_glyphs(font: Any) -> None:
    """Give every glyph that no letter stands for a letter of its own now, in the font's order.

    The library does so when a glyph is first drawn: a document's bytes would depend on those made before it.
    """
    shaper = font.hbFont()
    for glyph in range(font.face.numGlyphs):
        if glyph not in font.face.glyphToChar:
            font.hbAddPrivate(shaper.glyph_to_string(glyph), glyph, shaper.get_glyph_h_advance(glyph))


@cache
def _has(font: str, letter: str) -> bool:
    return ord(letter) in pdfmetrics.getFont(font).face.charToGlyph


def _script(letter: str) -> str:
    """The font of a letter of a script of its own, else ""."""
    point = ord(letter)
    return next((font for first, last, font in _SCRIPTS if first <= point <= last), "")


def missing_letters(text: str) -> set[str]:
    """Letters of a text that no embedded font has; those of the reader's own font are taken for there."""
    load_fonts()
    found = set()
    for letter in bidi.clean(text):
        font = _script(letter) or LATIN
        if font != CJK and not letter.isspace() and not (_has(font, letter) or _has(LATIN, letter)):
            found.add(letter)
    return found


def is_wide(text: str) -> bool:
    """Whether a text has Chinese, Japanese or Korean letters."""
    return any(_script(letter) == CJK for letter in text)


def is_shaped(text: str) -> bool:
    """Whether a text has letters that must be shaped: a plain paragraph would show them apart or in the wrong order."""
    return any(_script(letter) in _SHAPED for letter in text)


class _Part(msgspec.Struct, frozen=True):
    """Letters of one font and level, as they are drawn."""

    font: str
    drawn: str
    width: float


class ShapedLine(msgspec.Struct, frozen=True):
    """One line, its parts from left to right."""

    text: str
    parts: tuple[_Part, ...]
    width: float


class ShapedText(Flowable):  # type: ignore[misc] # the library has no types
    """A text of any script, in as many lines as it needs."""

    def __init__(self, text: str, size: int, *, bold: bool, color: Any, right: bool) -> None:
        super().__init__()
        load_fonts()
        self._text = bidi.clean(text)
        self._from_right = bidi.is_from_right(self._text)
        self._size, self._bold, self._color, self._right = size, bold, color, right
        self._lines: list[ShapedLine] = []

    def wrap(self, width: float, _height: float) -> tuple[float, float]:
        """What it takes of a space, in points."""
        self._lines = list(self._broken(width))
        self._width = width
        return width, len(self._lines) * self._size * 1.5

    def draw(self) -> None:
        """Onto the canvas, each line with its letters in the order they are read, for those who copy or search."""
        canvas = self.canv
        canvas.setFillColor(self._color)
        top = len(self._lines) * self._size * 1.5
        for number, line in enumerate(self._lines, 1):
            x = self._width - line.width if self._right or self._from_right else 0.0
            y = top - number * self._size * 1.5 + self._size * 0.45
            written = line.text.encode("utf-16-be").hex().upper()
            canvas._code.append(f"/Span <</ActualText <FEFF{written}>>> BDC")
            for part in line.parts:
                canvas.setFont(part.font, self._size)
                canvas.drawString(x, y, part.drawn)
                x += part.width
            canvas._code.append("EMC")

    def _broken(self, width: float) -> Iterator[ShapedLine]:
        line, used = "", 0.0
        for piece in self._pieces(width):
            wide = self._shape(piece).width
            if line.strip() and used + self._shape(piece.rstrip()).width > width:
                yield self._shape(line.strip())
                line, used = "", 0.0
            line, used = line + piece, used + wide
        yield self._shape(line.strip())

    def _pieces(self, width: float) -> Iterator[str]:
        """Words, and the clusters of those that no line has room for: Thai has no blanks between words."""
        for word in _words(self._text):
            if self._shape(word.rstrip()).width <= width:
                yield word
            else:
                yield from _clusters(word)

    def _shape(self, text: str) -> ShapedLine:
        levels = bidi.levels_of(text, from_right=self._from_right)
        pieces: list[tuple[int, str, str]] = []
        font = LATIN
        for letter, level in zip(text, levels, strict=True):
            font = _script(letter) or (font if font in _SHAPED and _has(font, letter) else LATIN)
            if pieces and pieces[-1][:2] == (level, font):
                pieces[-1] = (level, font, pieces[-1][2] + letter)
            else:
                pieces.append((level, font, letter))
        order = bidi.seen_order([level for level, _, _ in pieces])
        parts = tuple(self._part(*pieces[index]) for index in order)
        return ShapedLine(text, parts, sum(part.width for part in parts))

    def _part(self, level: int, font: str, text: str) -> _Part:
        name = font if font == CJK or not self._bold else f"{font}-Bold"
        if level % 2 and not bidi.is_from_right(
            text
        ):  # signs alone: the shaper cannot tell how they are read
            text = bidi.mirror(text[::-1])
        drawn = shapeStr(text, name, self._size) if font in _SHAPED else text
        if isinstance(drawn, ShapedStr):
            width = sum(each.x_advance for each in drawn.__shapeData__) * self._size / 1_000
        else:
            width = pdfmetrics.stringWidth(drawn, name, self._size)
        return _Part(name, drawn, width)


def _words(text: str) -> Iterator[str]:
    """The text in pieces between which a line may end, each with the blank, stroke or dash behind it."""
    start = 0
    for index, letter in enumerate(text):
        if letter in _BREAKS:
            yield text[start : index + 1]
            start = index + 1
    if start < len(text):
        yield text[start:]


def _clusters(word: str) -> Iterator[str]:
    """Letters with the marks and vowels that belong to them."""
    start = 0
    for index in range(1, len(word)):
        belongs = unicodedata.category(word[index]) == "Mn" or word[index] in _AFTER
        if not belongs and word[index - 1] not in _BEFORE:
            yield word[start:index]
            start = index
    yield word[start:]
