"""`tradepost export`: take what is yours out, in formats others read."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import msgspec
from rich.progress import Progress

from tradepost.app import Reader, open_reader
from tradepost.events import stream_page
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import check_id
from tradepost.kernel.tx import Storage
from tradepost.surfaces.cli.output import errors
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import catalog

PAGE = 500


def export(
    what: Literal["catalog", "events"],
    *,
    seller: str = "",
    out: Path | None = None,
    form: Literal["csv", "jsonl"] = "jsonl",
    data_dir: str | None = None,
    config: Path | None = None,
) -> None:
    """Write a seller's catalogue, or the whole event stream, to a file or to standard output.

    A catalogue that was exported can be imported again, here or elsewhere. Events are CloudEvents-like JSON lines.

    Parameters
    ----------
    what
        catalog (a seller's products, SKUs and offers) or events (every event, oldest first, one shard after another).
    seller
        The seller whose catalogue is meant.
    out
        The file to write; standard output when left out.
    form
        csv or jsonl, for the catalogue.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    reader = open_reader(settings)
    with _target(out) as target, Progress(console=errors) as progress:
        bar = progress.add_task(f"exporting {what}", total=None)

        def write(piece: bytes) -> None:
            target.write(piece)
            progress.advance(bar)

        if what == "catalog":
            asyncio.run(_write_catalog(reader, check_id(seller, "seller", "--seller"), form, write))
        else:
            _write_events(reader, write)
        progress.update(bar, total=1, completed=1)
    reader.close()


@contextmanager
def _target(out: Path | None) -> Iterator[BinaryIO]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with out.open("wb") as file:
            yield file


class _Reading:
    """The reader as the storage port's `read`, which stories await."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.shards = reader.shards
        self.shard_of = reader.shard_of

    async def read(self, shard: int, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._reader.read(shard, query, *args, **kwargs)


async def _write_catalog(reader: Reader, seller_id: str, form: str, write: Callable[[bytes], None]) -> None:
    async for text in catalog.export_rows(cast(Storage, _Reading(reader)), seller_id, form=form):
        write(text.encode())


def _write_events(reader: Reader, write: Callable[[bytes], None]) -> None:
    for shard in range(reader.shards):
        after, more = 0, True
        while more:
            page = reader.read(shard, stream_page, after, PAGE)
            for row in page.rows:
                write(msgspec.json.encode(_document(row, shard)) + b"\n")
            after, more = page.next_sequence, page.more


def _document(row: EventRow, shard: int) -> dict[str, Any]:
    """One event as CloudEvents wants it; its sequence counts within its shard."""
    return {
        "specversion": "1.0",
        "id": row.event_id,
        "type": row.type,
        "source": "/v1/events",
        "subject": row.aggregate_id,
        "sequence": str(row.sequence),
        "shard": shard,
        "time_ms": row.at_ms,
        "data": msgspec.Raw(row.payload),
    }
