"""One bar on standard error while something long runs; a file of its own, because short commands need none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tradepost.surfaces.cli.output import errors


@contextmanager
def bar(
    text: str, total: int | None = None, *, hidden: bool = False, remaining: bool = False
) -> Iterator[Callable[..., None]]:
    """Show a bar until the block ends. Call what it gives with `description`, `completed`, `total` or `advance`.

    `remaining` tells how long it will still take instead of how long it has taken; `hidden` shows nothing.
    """
    time = TimeRemainingColumn() if remaining else TimeElapsedColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), time)
    with Progress(*columns, console=errors, transient=True, disable=hidden) as shown:
        yield partial(shown.update, shown.add_task(text, total=total))
