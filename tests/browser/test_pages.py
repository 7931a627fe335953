"""The pages as a person sees them: whole, from this server alone, and of use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.demo_server import DemoServer

pytestmark = pytest.mark.browser
WIDTHS = {"wide": 1280, "narrow": 390}
SCREENS_MAX = 200
DRAWN = """() => [...document.querySelectorAll(".opblock")].map(block => [
    block.querySelector(".opblock-summary-method").textContent, block.querySelector("[data-path]").dataset.path
].join(" "))"""


class Visit(NamedTuple):
    """A page and everything that went wrong on it."""

    page: Page
    asked: list[str]
    wrong: list[str]


@pytest.fixture(params=WIDTHS)
def visit(request: pytest.FixtureRequest, browser: Browser, shop: DemoServer) -> Iterator[Visit]:
    """A fresh page; in the end nothing may have failed, and nothing may have been asked of anybody else."""
    context = browser.new_context(viewport={"width": WIDTHS[request.param], "height": 900})
    page = context.new_page()
    found = Visit(page, [], [])
    page.on("request", lambda asked: found.asked.append(asked.url))
    page.on("requestfailed", lambda failed: found.wrong.append(f"failed: {failed.url} {failed.failure}"))
    page.on(
        "response", lambda got: found.wrong.append(f"{got.status}: {got.url}") if got.status >= 400 else None
    )
    page.on("pageerror", lambda error: found.wrong.append(f"error: {error}"))
    page.on(
        "console",
        lambda said: found.wrong.append(f"console: {said.text}") if said.type == "error" else None,
    )
    yield found
    shots = os.environ.get("TRADEPOST_SHOTS")
    if shots:
        page.screenshot(path=Path(shots) / f"{request.node.name}.png")
    context.close()
    home = urlsplit(shop.address).netloc
    elsewhere = [
        url for url in found.asked if urlsplit(url).scheme != "data" and urlsplit(url).netloc != home
    ]
    assert (elsewhere, found.wrong) == ([], [])


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def drawn(page: Page, enough: Callable[[set[str]], bool]) -> set[str]:
    """The operations that are shown from top to bottom, until enough were seen. Beyond a hundred the library keeps only
    those in sight in the page."""
    seen: set[str] = set()
    page.evaluate("window.scrollTo(0, 0)")
    for _ in range(SCREENS_MAX):
        page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        seen |= set(page.evaluate(DRAWN))
        if enough(seen):
            break
        page.evaluate("window.scrollBy(0, window.innerHeight / 2)")
    return seen


def test_the_documents_show_every_operation_and_try_one(visit: Visit, shop: DemoServer) -> None:
    page = visit.page
    page.goto(f"{shop.address}/docs")
    expect(page.locator(".info .title")).to_contain_text("Tradepost")
    document = page.request.get(f"{shop.address}/openapi.json").json()
    operations = {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    }
    assert drawn(page, lambda seen: seen >= operations) == operations
    drawn(page, lambda seen: "GET /v1/markets" in seen)
    markets = page.locator(".opblock", has=page.locator('[data-path="/v1/markets"]'))
    markets.locator(".opblock-summary-control").click()
    markets.get_by_role("button", name="Try it out").click()
    markets.get_by_role("button", name="Execute").click()
    answer = markets.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text("GBP")
    assert f"{shop.address}/v1/markets" in visit.asked
    markets.scroll_into_view_if_needed()
    assert fits(page)


def test_the_problems_are_listed_and_each_has_a_page(visit: Visit, shop: DemoServer) -> None:
    page = visit.page
    page.goto(f"{shop.address}/problems")
    expect(page.locator("h1")).to_have_text("Problem codes")
    shown = page.locator("td code").all_inner_texts()
    assert len(shown) > 80
    assert fits(page)
    page.get_by_role("link", name="checkout.total_changed").click()
    expect(page.locator("h1")).to_have_text("The total is no longer what the buyer saw")
    expect(page.locator("main")).to_contain_text("409")
    assert fits(page)
    page.get_by_role("link", name="All codes").click()
    expect(page.locator("h1")).to_have_text("Problem codes")


def test_a_problem_page_can_be_read(visit: Visit, shop: DemoServer) -> None:
    visit.page.goto(f"{shop.address}/problems/inventory.sold_out")
    expect(visit.page.locator("h1")).to_have_text("Not enough stock")
    expect(visit.page.locator("main")).not_to_contain_text("`")
    assert fits(visit.page)
