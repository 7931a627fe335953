"""Ledger: double entry, immutable, sums to zero; every movement of money is one row, balances are added up."""

from tradepost.trade.ledger.api import (
    account_balances,
    append,
    captured_by_payment,
    post,
    refunded_by_payment,
    transactions_of,
)
from tradepost.trade.ledger.check import LedgerFinding, LedgerReport, check_ledger, merge_reports
from tradepost.trade.ledger.model import (
    ACCOUNTS,
    PENDING,
    POSTED,
    VOIDED,
    Balance,
    Entry,
    Transaction,
    TransactionKind,
)
from tradepost.trade.ledger.rules import balances

__all__ = [
    "ACCOUNTS",
    "PENDING",
    "POSTED",
    "VOIDED",
    "Balance",
    "Entry",
    "LedgerFinding",
    "LedgerReport",
    "Transaction",
    "TransactionKind",
    "account_balances",
    "append",
    "balances",
    "captured_by_payment",
    "check_ledger",
    "merge_reports",
    "post",
    "refunded_by_payment",
    "transactions_of",
]
