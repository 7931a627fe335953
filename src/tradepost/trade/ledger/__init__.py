"""Ledger: double entry, immutable, sums to zero; every movement of money is one row, balances are added up."""

from tradepost.trade.ledger.api import (
    account_balances,
    all_transactions,
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
from tradepost.trade.ledger.rules import amount_on, balances
from tradepost.trade.ledger.seals.sealing import depart, seal_shard, sweeps

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
    "all_transactions",
    "amount_on",
    "append",
    "balances",
    "captured_by_payment",
    "check_ledger",
    "depart",
    "merge_reports",
    "post",
    "refunded_by_payment",
    "seal_shard",
    "sweeps",
    "transactions_of",
]
