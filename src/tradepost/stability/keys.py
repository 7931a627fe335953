"""Typed keys: every value that may change while the shop runs is declared in code, with type, bounds and a sentence.

A document is what the centre keeps for one key: a base value and rules that give some instances, markets or a
share of the subjects another one. It is judged here, before it is written and again before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.errors import Kind, Refusal, declare_problems

T = TypeVar("T")
Audience = Literal["instance", "market", "subject"]
EVERY_AUDIENCE: frozenset[Audience] = frozenset(("instance", "market", "subject"))
RULES_MAX = 32
DOCUMENT_BYTES_MAX = 64 << 10
SHARE_ALL_BPS = 10_000
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
NAME_LETTERS_MAX = 64

declare_problems(
    {
        "config.key_unknown": (
            Kind.NOT_FOUND,
            "No such key",
            "See `tradepost config list` for the keys there are.",
        ),
        "config.value_invalid": (
            Kind.UNPROCESSABLE,
            "The value does not fit the key",
            "Give a value of the key's type inside its bounds; `tradepost config get KEY` shows both.",
        ),
        "config.audience_not_allowed": (
            Kind.UNPROCESSABLE,
            "The key cannot be released to this audience",
            "Leave out the audience that `field` names: this key is asked without it.",
        ),
    }
)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another value for some. Empty lists mean everybody; a share is counted in basis points of the subjects."""

    value: Any
    instances: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    share_bps: Annotated[int, Meta(ge=0, le=SHARE_ALL_BPS)] = SHARE_ALL_BPS


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is in force for one key: rules in order, the first that fits answers, else the value, else the default.

    `version` counts the writes of this key from 1. Members that a newer version added are passed over.
    """

    version: Annotated[int, Meta(ge=0)]
    value: Any | UnsetType = UNSET
    rules: Annotated[tuple[Rule, ...], Meta(max_length=RULES_MAX)] = ()


class Key(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One declared key. `audiences` names what its readers tell when they ask, so what a rule may choose by."""

    name: str
    type: Any
    default: T
    unit: str
    bounds: Meta | None
    sentence: str
    audiences: frozenset[Audience] = EVERY_AUDIENCE

    def accept(self, value: Any) -> T:
        """The value as this key's type. Raises Refusal `config.value_invalid` saying what would fit."""
        try:
            kind = self.type if self.bounds is None else Annotated[self.type, self.bounds]
            return msgspec.convert(value, kind)  # type: ignore[no-any-return]
        except (msgspec.ValidationError, TypeError) as error:
            raise Refusal(
                "config.value_invalid",
                f"{self.name}: {error}",
                field=self.name,
                expected=self.fits,
            ) from None

    @property
    def kind(self) -> str:
        """The type as readers write it."""
        return getattr(self.type, "__name__", "") if isinstance(self.type, type) else describe_type(self.type)

    @property
    def fits(self) -> str:
        """Type, bounds and unit in words."""
        bounds = describe_bounds(self.bounds)
        return " ".join(part for part in (self.kind, bounds, f"in {self.unit}" if self.unit else "") if part)


def describe_type(annotation: Any) -> str:
    """An annotation as text, without the modules of its parts."""
    return re.sub(r"\b[a-z_]+\.", "", str(annotation))


def describe_bounds(bounds: Meta | None) -> str:
    """Bounds in words, such as `1 to 60000`."""
    if bounds is None:
        return ""
    least = bounds.ge if bounds.ge is not None else bounds.gt
    most = bounds.le if bounds.le is not None else bounds.lt
    words = []
    if least is not None and most is not None:
        words.append(f"{least} to {most}")
    elif least is not None or most is not None:
        words.append(f"at least {least}" if most is None else f"at most {most}")
    if bounds.min_length is not None:
        words.append(f"length at least {bounds.min_length}")
    if bounds.max_length is not None:
        words.append(f"length at most {bounds.max_length}")
    if bounds.pattern is not None:
        words.append(f"matching {bounds.pattern}")
    return ", ".join(words)


_KEYS: dict[str, Key[Any]] = {}


def declare_key(
    name: str,
    type: Any,
    default: T,
    unit: str,
    bounds: Meta | None,
    sentence: str,
    *,
    audiences: frozenset[Audience] = EVERY_AUDIENCE,
) -> Key[T]:
    """Declare a key such as `limits.checkout_per_s`; call it once, beside the code that reads it.

    `unit` is empty where there is none, `bounds` None where the type says everything. Raises ValueError for an
    unfitting name or default and for a second meaning of a name.
    """
    key: Key[T] = Key(
        name=name,
        type=type,
        default=default,
        unit=unit,
        bounds=bounds,
        sentence=sentence,
        audiences=audiences,
    )
    if not _NAME.match(name) or len(name) > NAME_LETTERS_MAX or not sentence:
        raise ValueError(
            f"key {name!r} needs a dotted name of at most {NAME_LETTERS_MAX} letters and a sentence"
        )
    try:
        key.accept(default)
    except Refusal as refusal:
        raise ValueError(f"the default of {name} does not fit: {refusal.detail}") from refusal
    if _same(_KEYS.setdefault(name, key), key):
        return key
    raise ValueError(f"key {name} is declared twice")


def _same(one: Key[Any], other: Key[Any]) -> bool:
    return (one.type, one.default, one.unit, one.sentence) == (
        other.type,
        other.default,
        other.unit,
        other.sentence,
    )


def declared_keys() -> Mapping[str, Key[Any]]:
    """Every declared key by name."""
    return dict(sorted(_KEYS.items()))


def find_key(name: str) -> Key[Any]:
    """The declared key. Raises Refusal `config.key_unknown`."""
    try:
        return _KEYS[name]
    except KeyError:
        raise Refusal("config.key_unknown", f"There is no key {name[:80]!r}.", field="key") from None


def knows(name: str) -> bool:
    """Whether this process has a key of this name; a newer version may have more."""
    return name in _KEYS


class Judged(msgspec.Struct, frozen=True):
    """A document whose every value fits its key, ready to answer."""

    document: Document
    value: Any
    rules: tuple[Rule, ...]


def judge(key: Key[Any], document: Document) -> Judged:
    """The document with its values as the key's type.

    Raises Refusal `config.value_invalid` or `config.audience_not_allowed`.
    """
    value = key.default if document.value is UNSET else key.accept(document.value)
    rules = []
    for rule in document.rules:
        for audience, chosen in (
            ("instance", rule.instances),
            ("market", rule.markets),
            ("subject", rule.share_bps < SHARE_ALL_BPS),
        ):
            if chosen and audience not in key.audiences:
                raise Refusal(
                    "config.audience_not_allowed",
                    f"{key.name} is not asked by {audience}.",
                    field=audience,
                    expected=" or ".join(sorted(key.audiences)) or "no audience",
                )
        rules.append(msgspec.structs.replace(rule, value=key.accept(rule.value)))
    return Judged(document, value, tuple(rules))


_decode = msgspec.json.Decoder(Document).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def encode_document(document: Document) -> bytes:
    """The document as the centre keeps it. Raises Refusal `config.value_invalid` above 64 KiB."""
    text = _encode(document)
    if len(text) > DOCUMENT_BYTES_MAX:
        raise Refusal(
            "config.value_invalid",
            "The document is too large.",
            field="value",
            expected=f"at most {DOCUMENT_BYTES_MAX} bytes",
        )
    return text


def decode_document(text: bytes) -> Document:
    """The document in this text. Raises Refusal `config.value_invalid` for anything else."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise Refusal("config.value_invalid", f"{len(text)} bytes are too many.", field="value")
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refusal("config.value_invalid", f"It is no document: {error}", field="value") from None


def share_of(name: str, subject: str) -> int:
    """Where a subject stands for a key, 0..9999: always the same, other keys stand it elsewhere.

    A share of N basis points takes the subjects below N, so a growing share keeps those it had.
    """
    digest = blake2b(subject.encode("utf-8", "replace"), digest_size=8, person=_person(name)).digest()
    return int.from_bytes(digest, "big") % SHARE_ALL_BPS


_PERSONS: dict[str, bytes] = {}


def _person(name: str) -> bytes:
    """The name in the 16 bytes that the hash takes for telling uses apart; bounded by the declared names."""
    found = _PERSONS.get(name)
    if found is None:
        found = blake2b(name.encode(), digest_size=16).digest()
        if len(_PERSONS) < 10_000:
            _PERSONS[name] = found
    return found


def choose(name: str, judged: Judged, instance: str, market: str, subject: str) -> Any:
    """The value for one asker. A share below all never takes an asker without a subject."""
    for rule in judged.rules:
        if rule.instances and instance not in rule.instances:
            continue
        if rule.markets and market not in rule.markets:
            continue
        if rule.share_bps < SHARE_ALL_BPS and (not subject or share_of(name, subject) >= rule.share_bps):
            continue
        return rule.value
    return judged.value


def key_rows() -> list[tuple[str, str, str, str, str]]:
    """(name, type and bounds, default, who it can be released to, sentence) of every key: the reference table."""
    return [
        (
            f"`{key.name}`",
            key.fits,
            f"`{msgspec.json.encode(key.default).decode()}`",
            ", ".join(sorted(key.audiences)) or "everybody at once",
            key.sentence,
        )
        for key in declared_keys().values()
    ]


def key_page(table: Callable[[tuple[str, ...], Any], str]) -> str:
    """The reference page of keys; `table(head, rows)` writes a Markdown table."""
    head = ("key", "type", "default", "can be released to", "meaning")
    return "\n".join(
        [
            "# Keys of the config centre\n",
            "Values that change while the shop runs: `tradepost config set KEY VALUE`. A value that does not fit "
            "is refused at the write and ignored, with an alarm, at the read.\n",
            table(head, iter(key_rows())),
        ]
    )
