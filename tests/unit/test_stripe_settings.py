"""What the Stripe adapter refuses to start with, and that its secrets appear nowhere."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contract.stripe_ground import API_KEY, WEBHOOK_SECRETS, authorize, ground, refund

from tradepost.infra.payments.stripe_notices import Notice, NoticeBook, NoticeKind
from tradepost.infra.payments.stripe_settings import (
    Secret,
    StripeAccount,
    StripeSettings,
    open_account,
    read_secret,
)
from tradepost.kernel.errors import Refusal
from tradepost.testing.stripe_double import Fault
from tradepost.testing.world import TestWorld

LIVE = "sk_live_51NobodysKey"
WEBHOOK = "whsec_0123456789abcdefghij"
BACK = "https://shop.example/{payment_id}"


def opened(
    key: str = LIVE, webhook: str = WEBHOOK, *, production: bool = True, **changes: Any
) -> StripeAccount:
    environment = {"STRIPE_API_KEY": key, "STRIPE_WEBHOOK_SECRETS": webhook}
    settings = StripeSettings(**({"return_url": BACK} | changes))
    return open_account(settings, environment, production=production)


def test_production_with_live_secrets() -> None:
    account = opened(webhook=f"{WEBHOOK}\n {WEBHOOK}2 ")
    assert account.live
    assert [secret.reveal() for secret in account.webhook_secrets] == [WEBHOOK, WEBHOOK + "2"]


TEST, LOCAL = "sk_test_51NobodysKey", "http://127.0.0.1:12111"
MISSING, TEST_KEY, ADDRESS = (
    "payments.stripe_secret_missing",
    "payments.stripe_test_key",
    "payments.stripe_address",
)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"key": ""}, MISSING),
    ({"key": "pk_live_51Public"}, MISSING),
    ({"key": "live"}, MISSING),
    ({"webhook": ""}, MISSING),
    ({"webhook": "short"}, MISSING),
    ({"webhook": f"{WEBHOOK} short"}, MISSING),
    ({"api_key": LIVE}, MISSING),
    ({"api_key": "env:"}, MISSING),
    ({"api_key": "file:/nowhere/at/all"}, MISSING),
    ({"key": TEST}, TEST_KEY),
    ({"key": "rk_test_51NobodysKey"}, TEST_KEY),
    ({"base_url": "http://api.stripe.com"}, ADDRESS),
    ({"base_url": LOCAL}, ADDRESS),
    ({"base_url": LOCAL, "production": False}, ADDRESS),
    ({"base_url": "http://10.0.0.1", "key": TEST, "production": False}, ADDRESS),
    ({"base_url": "https://"}, ADDRESS),
    ({"base_url": "ftp://127.0.0.1", "key": TEST, "production": False}, ADDRESS),
    ({"return_url": ""}, ADDRESS),
    ({"return_url": "http://shop.example"}, ADDRESS),
]


@pytest.mark.parametrize(("changes", "code"), REFUSED)
def test_what_does_not_start(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        opened(**changes)
    assert caught.value.code == code
    assert LIVE not in f"{caught.value!r} {caught.value.detail} {caught.value.expected}"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": TEST, "production": False},
        {"key": TEST, "allow_test_keys": True},
        {"key": TEST, "allow_test_keys": True, "base_url": LOCAL},
        {"key": TEST, "production": False, "base_url": "http://localhost:1", "return_url": "http://[::1]/"},
        {"key": "rk_live_51NobodysKey"},
    ],
)
def test_what_starts(changes: dict[str, Any]) -> None:
    assert opened(**changes).live == ("live" in changes["key"])


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"  {LIVE}\n")
    assert read_secret(f"file:{path}", {}, "f") == LIVE
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Refusal):
        read_secret(f"file:{path}", {}, "f")


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(LIVE)
    account = opened()
    shown = f"{secret} {secret!r} {[secret]} {account} {account!r} {vars(StripeSettings)}"
    assert LIVE not in shown
    assert WEBHOOK not in shown
    for travel in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            travel(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(account)


async def test_no_log_and_no_error_holds_a_secret(
    world: TestWorld,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("stripe", "httpx", "httpcore", "tradepost", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.setenv("STRIPE_LOG", "debug")
    said: list[str] = []
    async with ground(world) as at:
        for fault in Fault:
            if fault is Fault.SILENCE:
                continue
            at.double.faults.append(fault)
            payment_id = world.mint("payment", 5)
            calls = [
                at.provider.authorize(authorize(payment_id, "pm_card_visa", capture=True)),
                at.provider.authorize(authorize(payment_id, "pm_card_chargeDeclined")),
                at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, 9_999)),
                at.provider.ask(payment_id),
            ]
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                said.append(repr(answer))
                if isinstance(answer, BaseException):
                    said += traceback.format_exception(answer)
        await at.double.deliver_all()
        headers, body = {"Stripe-Signature": f"t=1,v1={'0' * 64}"}, b"{}"
        with pytest.raises(Refusal) as caught:
            at.provider.parse_webhook(headers, body, world.now_ms())
        said.append(repr(caught.value) + caught.value.detail)
        said += [repr(vars(at.provider)), repr(at.notices), repr(at.account)]
    everything = "\n".join([*said, caplog.text, *capfd.readouterr()])
    assert len(caplog.records) > 20
    assert "/v1/payment_intents" in caplog.text
    for secret in (API_KEY, *WEBHOOK_SECRETS):
        assert secret not in everything
        assert secret[8:] not in everything


def test_notices_survive_and_count_once(tmp_path: Path) -> None:
    path = tmp_path / "notices.jsonl"
    first, second = NoticeBook(path), NoticeBook(path)
    assert first.read() == []
    made = [
        Notice(key=key, kind=NoticeKind.DISPUTE, at_ms=1, reference="pi_1", amount=5, currency="GBP")
        for key in ("a", "b", "a")
    ]
    for notice in made:
        first(notice)
        second(notice)
    assert path.read_bytes().count(b"\n") == 4
    with path.open("ab") as file:
        file.write(b'{"key":"torn')
    assert first.read() == made[:2]
    assert path.stat().st_mode & 0o077 == 0


def test_a_notice_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such"):
        NoticeBook(tmp_path / "missing" / "n.jsonl")(Notice(key="a", kind=NoticeKind.DISPUTE, at_ms=1))
    assert os.listdir(tmp_path) == []
