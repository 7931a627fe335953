"""Ids that exist before what they name: 128 bits in the layout of RFC 9562 version 7.

From the top: 48 bits of milliseconds, version 7, 10 bits of gene, 2 random bits, the variant, 8 bits of cell,
54 random bits. Outside they read `ord_` plus 26 letters of Crockford's base32, which sort as the number does.
"""

from __future__ import annotations

import functools
import hashlib

from tradepost.kernel.errors import Refusal

GENES = 1024
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
_CONFUSED = str.maketrans("ILOilo", "110110")

PREFIXES: dict[str, str] = {
    "buyer": "byr",
    "seller": "sel",
    "creator": "cre",
    "operator": "opr",
    "storefront": "sto",
    "product": "prd",
    "sku": "sku",
    "offer": "off",
    "cart": "crt",
    "checkout": "chk",
    "order": "ord",
    "payment": "pay",
    "refund": "ref",
    "dispute": "dsp",
    "gift_card": "gft",
    "package": "pkg",
    "return": "rtn",
    "invoice": "inv",
    "plan": "pln",
    "commission": "com",
    "transaction": "txn",
    "key": "key",
    "location": "loc",
    "task": "tsk",
    "settlement": "stl",
    "payout": "pyo",
    "adjustment": "adj",
    "campaign": "cmp",
    "shipping_terms": "shp",
    "limit": "lim",
}
"""What an id names, to the prefix it carries outside."""


@functools.lru_cache(maxsize=64)
def _time_letters(now_ms: int) -> str:
    return "".join(_PAIRS[(now_ms >> shift) & 1023] for shift in (40, 30, 20, 10, 0))


@functools.lru_cache(maxsize=2 * GENES)
def _middle_letters(gene: int, cell: int) -> tuple[str, ...]:
    """Letters 11 to 16 of an id by its two and its four random bits, together six: 64 texts."""
    return tuple(
        [
            f"{_PAIRS[448 | (gene >> 4)]}"
            f"{_PAIRS[((gene & 15) << 6) | (six >> 4) << 4 | 8 | (cell >> 6)]}"
            f"{_PAIRS[((cell & 63) << 4) | (six & 15)]}"
            for six in range(64)
        ]
    )


def compose_id(prefix: str, gene: int, now_ms: int, cell: int, six: int, letters: str) -> str:
    """As `mint_id`, the 56 random bits given as an integer of six bits and ten letters of the alphabet."""
    return f"{prefix}_{_time_letters(now_ms)}{_middle_letters(gene, cell)[six]}{letters}"


def mint_id(prefix: str, gene: int, now_ms: int, cell: int, chance: int) -> str:
    """The id with these parts. `chance` brings 56 random bits; the caller draws them from its World."""
    return (
        f"{prefix}_{_time_letters(now_ms)}"
        f"{_PAIRS[448 | (gene >> 4)]}"
        f"{_PAIRS[((gene & 15) << 6) | ((chance >> 54) & 3) << 4 | 8 | (cell >> 6)]}"
        f"{_PAIRS[((cell & 63) << 4) | ((chance >> 50) & 15)]}"
        f"{_PAIRS[(chance >> 40) & 1023]}{_PAIRS[(chance >> 30) & 1023]}{_PAIRS[(chance >> 20) & 1023]}"
        f"{_PAIRS[(chance >> 10) & 1023]}{_PAIRS[chance & 1023]}"
    )


def gene_of(identifier: str) -> int:
    """The shard gene (0..1023) inside an id. Raises Refusal `id.invalid` for something else."""
    try:
        return (
            ((_VALUES[identifier[-16]] & 1) << 9)
            | (_VALUES[identifier[-15]] << 4)
            | (_VALUES[identifier[-14]] >> 1)
        )
    except (KeyError, IndexError):
        raise Refusal("id.invalid", f"{identifier[:60]!r} is not an id.", field="id") from None


def cell_of(identifier: str) -> int:
    """The cell (0..255) whose processes minted this id."""
    high, middle, low = (_VALUES[identifier[-index]] for index in (13, 12, 11))
    return ((high & 3) << 6) | (middle << 1) | (low >> 4)


def time_of(identifier: str) -> int:
    """Milliseconds UTC at which an id was minted."""
    value = 0
    for letter in identifier[-26:-16]:
        value = value * 32 + _VALUES[letter]
    return value


def check_id(identifier: str, kind: str, field: str = "") -> str:
    """The id itself when it is well formed and names a `kind`; raises Refusal `id.invalid` otherwise."""
    prefix = PREFIXES[kind]
    body = identifier[len(prefix) + 1 :]
    if (
        not identifier.startswith(prefix + "_")
        or len(body) != 26
        or body[0] > "7"
        or body.strip(ALPHABET)  # the letters that are none of the alphabet, and what lies between them
    ):
        raise Refusal(
            "id.invalid",
            f"{identifier[:60]!r} is not the id of this kind of thing: {kind}.",
            field=field or f"{kind}_id",
            expected=f"{prefix}_ and 26 letters of base32",
        )
    return identifier


def first_id_at(prefix: str, gene: int, at_ms: int) -> str:
    """The smallest id that could have been minted at this moment: the start of a range scan by time."""
    return mint_id(prefix, gene, at_ms, 0, 0)


def gene_for(key: str) -> int:
    """A gene spread evenly over keys that are no ids of ours, such as a provider's reference."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=2).digest(), "big") % GENES


_PRODUCTS = [
    {letter: ((product + value) % 32 or 32) * 2 % 33 for letter, value in _VALUES.items()}
    for product in range(33)
]
"""ISO/IEC 7064 hybrid system MOD 33,32: what a product becomes with the next letter."""


def _check_letter(letters: str) -> str:
    """ISO/IEC 7064 hybrid system MOD 33,32 over the base32 alphabet."""
    product = 32
    for letter in letters:
        product = _PRODUCTS[product][letter]
    return ALPHABET[(33 - product) % 32]


def order_number(order_id: str) -> str:
    """The number people read out: the id's last eleven letters and a check letter, as `XXXX-XXXX-XXXX`."""
    letters = order_id[-11:]
    text = (letters + _check_letter(letters)).upper()
    return f"{text[:4]}-{text[4:8]}-{text[8:]}"


def check_order_number(text: str) -> str:
    """The eleven letters of a typed order number, forgiving case, dashes and O/0, I/L/1.

    Raises Refusal `id.invalid` when a letter was mistyped or two were swapped.
    """
    letters = text.translate(_CONFUSED).replace("-", "").replace(" ", "").lower()
    fits = len(letters) == 12 and all(letter in _VALUES for letter in letters)
    if not fits or _check_letter(letters[:11]) != letters[11]:
        raise Refusal(
            "id.invalid", f"{text[:40]!r} is not an order number.", field="number", expected="XXXX-XXXX-XXXX"
        )
    return letters[:11]
