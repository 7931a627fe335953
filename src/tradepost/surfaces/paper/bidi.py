"""In which order the parts of a line are seen when some are read from the right.

The Unicode Bidirectional Algorithm (Unicode Standard Annex 9, revision 50) for one line of plain text: rules P2-P3,
W1-W7, N1-N2, I1-I2, L1-L2. Left out are explicit embeddings and isolates, which are dropped, and paired brackets
(N0): addresses, names and titles have none that this changes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_EXPLICIT = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"})
_NEUTRAL = frozenset({"ON", "WS", "S", "B"})
_RIGHT = frozenset({"R", "AL"})
_MIRRORED = str.maketrans("()[]{}<>«»", ")(][}{><»«")


def clean(text: str) -> str:
    """The text without letters that only steer direction."""
    return "".join(letter for letter in text if unicodedata.bidirectional(letter) not in _EXPLICIT)


def is_from_right(text: str) -> bool:
    """Whether a paragraph of this text is read from the right: its first letter with a direction decides."""
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind == "L" or kind in _RIGHT:
            return kind in _RIGHT
    return False


def mirror(text: str) -> str:
    """Brackets as they look from the other side."""
    return text.translate(_MIRRORED)


def levels_of(text: str, *, from_right: bool) -> list[int]:
    """The embedding level of each letter of a `clean` line: odd ones are read from the right."""
    base = int(from_right)
    kinds = _weak([unicodedata.bidirectional(letter) or "L" for letter in text], "R" if from_right else "L")
    _neutral(kinds, base)
    levels = []
    for kind in kinds:
        if base:
            levels.append(1 if kind == "R" else 2)
        else:
            levels.append({"R": 1, "AN": 2, "EN": 2}.get(kind, 0))
    for index in range(len(text) - 1, -1, -1):  # L1
        if unicodedata.bidirectional(text[index]) not in ("WS", "S", "B"):
            break
        levels[index] = base
    return levels


def _weak(kinds: list[str], edge: str) -> list[str]:
    before = edge
    for index, kind in enumerate(kinds):  # W1
        kinds[index] = before = before if kind == "NSM" else kind
    strong = edge
    for index, kind in enumerate(kinds):  # W2, W3
        if kind in ("L", "R", "AL"):
            strong = kind
        if kind == "EN" and strong == "AL":
            kinds[index] = "AN"
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for index in range(1, len(kinds) - 1):  # W4
        left, kind, right = kinds[index - 1 : index + 2]
        if left == right and ((kind in ("ES", "CS") and left == "EN") or (kind == "CS" and left == "AN")):
            kinds[index] = left
    _terminators(kinds)
    strong = edge
    for index, kind in enumerate(kinds):  # W6, W7
        if kind in ("ES", "ET", "CS"):
            kinds[index] = "ON"
        elif kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[index] = "L"
    return kinds


def _terminators(kinds: list[str]) -> None:
    """W5: signs such as a percent sign belong to the number beside them."""
    start = 0
    while start < len(kinds):
        end = start
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        beside = kinds[start - 1 : start] + kinds[end : end + 1]
        if end > start and "EN" in beside:
            kinds[start:end] = ["EN"] * (end - start)
        start = max(end, start + 1)


def _neutral(kinds: list[str], base: int) -> None:
    """N1, N2: what has no direction takes that of both sides, else the paragraph's."""
    own = "R" if base else "L"
    start = 0
    while start < len(kinds):
        if kinds[start] not in _NEUTRAL:
            start += 1
            continue
        end = start
        while end < len(kinds) and kinds[end] in _NEUTRAL:
            end += 1
        left = _side(kinds[start - 1]) if start else own
        right = _side(kinds[end]) if end < len(kinds) else own
        kinds[start:end] = [left if left == right else own] * (end - start)
        start = end


def _side(kind: str) -> str:
    return "L" if kind == "L" else "R"


def seen_order(levels: Sequence[int]) -> list[int]:
    """L2: the positions of parts with these levels, from left to right."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        start = 0
        while start < len(order):
            end = start
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[start:end] = reversed(order[start:end])
            start = max(end, start + 1)
    return order
