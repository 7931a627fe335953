"""What the double knows: intents, charges and refunds as documents, and the events their changes cause."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

Document = dict[str, Any]
_SHAPES: dict[str, Document] = json.loads((Path(__file__).parent / "shapes.json").read_text("utf-8"))
API_VERSION = "2026-10-28.endive"
LIST_MAX = 100


class Refused(Exception):
    """An error answer. `kept` says whether its idempotency key remembers it: validation is not remembered."""

    def __init__(self, status: int, *, kept: bool = True, **error: Any) -> None:
        super().__init__(status, error)
        self.status = status
        self.kept = kept
        self.error: Document = {"type": "invalid_request_error", **error}


def missing(kind: str, identifier: str) -> Refused:
    """The answer for something that does not exist."""
    return Refused(
        404, kept=False, code="resource_missing", param="id", message=f"No such {kind}: {identifier}"
    )


class Books:
    """Documents in the order they were made. `now_s` is the double's clock."""

    def __init__(self) -> None:
        self.intents: dict[str, Document] = {}
        self.charges: dict[str, Document] = {}
        self.refunds: dict[str, Document] = {}
        self.disputes: dict[str, Document] = {}
        self.events: list[Document] = []
        self.now_s = 0
        self._count = 0

    def new(self, kind: str, prefix: str, **fields: Any) -> Document:
        """A document of a recorded shape with a new id."""
        self._count += 1
        found = copy.deepcopy(_SHAPES[kind])
        found.update(id=f"{prefix}_double{self._count:012d}", created=self.now_s, **fields)
        return found

    def tell(self, event_type: str, about: Document) -> None:
        """Note an event with a copy of what it is about."""
        event = self.new("event", "evt", type=event_type, api_version=API_VERSION)
        event["data"] = {"object": copy.deepcopy(about)}
        self.events.append(event)

    def intent(self, identifier: str) -> Document:
        """An intent. Raises `Refused`."""
        if identifier not in self.intents:
            raise missing("payment_intent", identifier)
        return self.intents[identifier]

    def shown(self, intent: Document, expand: list[str]) -> Document:
        """An intent as answered, its charge inside when asked for."""
        shown = copy.deepcopy(intent)
        if "latest_charge" in expand and shown["latest_charge"]:
            shown["latest_charge"] = copy.deepcopy(self.charges[shown["latest_charge"]])
        return shown


def page(documents: list[Document], url: str, limit: int, after: str = "") -> Document:
    """A page of a list, newest first."""
    newest = list(reversed(documents))
    if after:
        start = next((index + 1 for index, one in enumerate(newest) if one["id"] == after), None)
        if start is None:
            raise missing("object", after)
        newest = newest[start:]
    limit = min(limit, LIST_MAX)
    return {
        "object": "list",
        "url": url,
        "has_more": len(newest) > limit,
        "data": copy.deepcopy(newest[:limit]),
    }
