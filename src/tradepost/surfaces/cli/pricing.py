"""`tradepost pricing`: why an order cost what it cost, and what past orders would cost under other rules."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from tradepost.app import Reader, open_reader
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.ids import check_id, gene_of, time_of
from tradepost.kernel.money import to_major
from tradepost.kernel.tx import Tx
from tradepost.markets import all_markets, market
from tradepost.surfaces.cli.output import FAILED, console, print_facts, print_json, print_table
from tradepost.surfaces.cli.pricing_page import page_of
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import checkout, orders, promotion
from tradepost.trade.checkout import Bought, Comparison, Explained, Rules
from tradepost.trade.promotion import Campaign, CampaignState

PAGE = 500
TOGETHER_MS = 10_000
"""Orders further apart than this are not of one checkout."""
DRAFTS_MAX = 100

declare_problems(
    {
        "pricing.moment_invalid": (
            Kind.INVALID,
            "Not a day or moment",
            "Write a day such as 2026-11-01, or a moment such as 2026-11-01T08:00, in UTC.",
        ),
        "pricing.draft_invalid": (
            Kind.INVALID,
            "Not a campaign",
            "Write a campaign as docs/how-to/run-a-campaign.md shows; `expected` says what is wrong.",
        ),
    }
)


def explain(
    order_id: str, *, data_dir: str | None = None, config: Path | None = None, json: bool = False
) -> None:
    """Show for each line of an order's basket which rules lowered it, which did not, and why. Works while serving.

    Ends with 1 when the rules of that day no longer give the total of that day.

    Parameters
    ----------
    order_id
        The order's id (ord_...).
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        shard = reader.shard_of(gene_of(check_id(order_id, "order")))
        basket = checkout.bought(reader.read(shard, _orders_of, order_id))
        found = checkout.explain(basket, market(basket.market), Rules(Editions(reader)))
    finally:
        reader.close()
    if json:
        print_json(found)
    else:
        _print_explained(found)
    if not found.agrees:
        raise SystemExit(FAILED)


def _orders_of(tx: Tx, order_id: str) -> list[orders.Order]:
    order = orders.get_order(tx, order_id)
    view = checkout.find_checkout(tx, order.buyer_id, order.checkout_id)
    return orders.orders_by_ids(tx, [one.order_id for one in view.orders])


def _print_explained(found: Explained) -> None:
    def amount(minor: int) -> str:
        return to_major(minor, found.currency)

    print_table(
        f"{found.name}: {amount(found.total_minor)} {found.currency}",
        ("line", "title", "quantity", "list", "what", "off", "total"),
        [
            (
                line.place,
                line.title,
                line.quantity,
                amount(line.list_minor),
                "\n".join(one.title or one.code for one, _ in line.applied) or "nothing",
                "\n".join(amount(off) for _, off in line.applied),
                amount(line.total_minor),
            )
            for line in found.lines
        ],
    )
    rows = [(one.title or one.code, "applied", one.detail, amount(one.amount_minor)) for one in found.applied]
    rows += [(one.title or one.code, one.why, one.detail, "") for one in found.refused]
    rows += [(campaign_id, "limit_reached", "", "") for campaign_id in found.left_out]
    print_table("Rules that were tried", ("rule", "outcome", "because of", "gave"), rows)
    if not found.agrees:
        console.print("The rules of that day no longer give this total.")


def replay(
    *,
    since: str = "1970-01-01",
    draft: Annotated[Path | None, Parameter(name="--with")] = None,
    until: str = "",
    page: Path | None = None,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Price past orders again: by the rules of their day, which gives their totals to the cent, or with a draft.

    Ends with 1 when an order priced by the rules of its day costs something else than it did.

    Parameters
    ----------
    since
        From this day or moment on, in UTC, such as 2026-11-01.
    draft
        A TOML file of campaigns that count as well, or in place of those with the same id.
    until
        Before this day or moment.
    page
        Write a page with table and plot here.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    drafts = read_drafts(draft) if draft is not None else ()
    span = (_moment(since), _moment(until) if until else 1 << 60)
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        found = replay_orders(reader, span, drafts)
    finally:
        reader.close()
    if page is not None:
        page.write_text(page_of(found, drafts), "utf-8")
    if json:
        print_json(found)
    else:
        print_comparison(found, page)
    if not drafts and found.equal != found.baskets:
        raise SystemExit(FAILED)


def replay_orders(reader: Reader, span: tuple[int, int], drafts: Iterable[Campaign]) -> Comparison:
    """Every basket of a span of moments, priced again; kept are a page of orders and the sums, however long it is."""
    rules = Rules(Editions(reader), tuple(drafts))
    return checkout.compare(read_baskets(reader, *span), all_markets(), rules)


def read_baskets(reader: Reader, since_ms: int, until_ms: int) -> Iterator[Bought]:
    """Baskets one by one, each as soon as no order of it can follow.

    A checkout's orders are minted at one moment on one gene. Orders come in order of time, or of gene and then time, so
    a checkout is whole once an order of a moment 10 s away from it is met.
    """
    for shard in range(reader.shards):
        still_open: dict[str, list[orders.Order]] = {}
        after = (-1, "")
        while True:
            page = reader.read(shard, orders.orders_since, since_ms, after, PAGE)
            for order in page:
                while still_open and _is_apart(next(iter(still_open.values()))[0], order):
                    yield checkout.bought(still_open.pop(next(iter(still_open))))
                if order.placed_at_ms < until_ms:
                    still_open.setdefault(order.checkout_id, []).append(order)
            if len(page) < PAGE:
                break
            after = (gene_of(page[-1].order_id), page[-1].order_id)
        for found in still_open.values():
            yield checkout.bought(found)


def _is_apart(one: orders.Order, other: orders.Order) -> bool:
    return abs(time_of(one.order_id) - time_of(other.order_id)) > TOGETHER_MS


class Editions(Mapping[int, promotion.Edition]):
    """Editions out of the database, each read when it is asked for. Raises KeyError for one that is not there."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __getitem__(self, edition: int) -> promotion.Edition:
        """One edition."""
        shard = self._reader.shard_of(promotion.GENE)
        found: dict[int, promotion.Edition] = self._reader.read(shard, promotion.past_editions, [edition])
        return found[edition]

    def __iter__(self) -> Iterator[int]:
        """Nothing: editions are asked for by number."""
        return iter(())

    def __len__(self) -> int:
        """Nothing is kept."""
        return 0


def read_drafts(path: Path) -> tuple[Campaign, ...]:
    """The campaigns of a TOML file: one, or a list under `campaigns`. Raises `pricing.draft_invalid`."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        rows = document.get("campaigns", [document])
        drafts = tuple(
            msgspec.convert({"campaign_id": f"draft {number}", **row, "state": "ACTIVE"}, Campaign)
            for number, row in enumerate(rows[:DRAFTS_MAX], 1)
        )
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError, TypeError) as error:
        raise Refusal(
            "pricing.draft_invalid", f"{path} is no campaign.", field="draft", expected=str(error)
        ) from error
    for one in drafts:
        promotion.check_campaign(one)
    return tuple(msgspec.structs.replace(one, state=CampaignState.ACTIVE) for one in drafts)


def _moment(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(
            "pricing.moment_invalid", f"{text[:40]!r} is no moment.", expected="2026-11-01"
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * 1_000


def print_comparison(found: Comparison, page: Path | None) -> None:
    """The comparison for people."""
    facts: dict[str, Any] = {
        "orders": found.orders,
        "baskets": found.baskets,
        "equal to the cent": found.equal,
        **{f"not priced: {why}": count for why, count in found.unknown.items()},
    }
    print_facts("Priced again", facts)
    print_table(
        "Totals",
        ("currency", "baskets", "changed", "was", "now", "difference", "discount was", "discount now"),
        [
            (
                currency,
                sums.baskets,
                sums.changed,
                *[
                    to_major(minor, currency)
                    for minor in (
                        sums.was_minor,
                        sums.now_minor,
                        sums.now_minor - sums.was_minor,
                        sums.discount_was_minor,
                        sums.discount_now_minor,
                    )
                ],
            )
            for currency, sums in sorted(found.by_currency.items())
        ],
    )
    for title, table in (("Who pays", found.by_funder), ("By campaign", found.by_campaign)):
        rows = [
            (currency, name or "other", to_major(was, currency), to_major(now, currency))
            for currency, names in sorted(table.items())
            for name, (was, now) in sorted(names.items())
        ]
        if rows:
            print_table(title, ("currency", "name", "was", "now"), rows)
    if page is not None:
        console.print(f"Written: {page}")
