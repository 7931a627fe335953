"""The only SQL of campaigns.

All of it lies on one gene: some hundred rows, read once by each process and then kept in its memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.promotion.campaigns import ACTIVE, DOCUMENT_BYTES_MAX, KeptRules, StoredCampaign
from tradepost.trade.promotion.model import Campaign

GENE = 0
_COLUMNS = "campaign_id, seller_id, state, version, rules_version, live_version, updated_at_ms"
_VERSIONS = "SELECT campaign_id, rules_version, document, author, at_ms FROM campaign_versions"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Campaign).decode
_members = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode


def insert_campaign(tx: Tx, one: StoredCampaign) -> None:
    """A new campaign; its rules are written by `insert_rules`."""
    tx.execute(
        f"INSERT INTO campaigns (gene, {_COLUMNS}, ends_at_ms) VALUES (?,?,?,?,?,?,?,?,?)",
        (GENE, *_values(one), one.campaign.until_ms),
    )


def update_campaign(tx: Tx, one: StoredCampaign) -> None:
    """The row after a change, if nobody changed it since. Raises Refusal `version.conflict`."""
    matched = tx.execute(
        "UPDATE campaigns SET state = ?, version = ?, rules_version = ?, live_version = ?, updated_at_ms = ?,"
        " ends_at_ms = ? WHERE gene = ? AND campaign_id = ? AND version = ?",
        (
            *(one.state, one.version, one.rules_version, one.live_version, one.updated_at_ms),
            *(one.campaign.until_ms, GENE, one.campaign_id, one.version - 1),
        ),
    )
    if matched != 1:
        raise Refusal(
            "version.conflict", f"{one.campaign_id} was changed meanwhile.", extra={"version": one.version}
        )


def insert_rules(tx: Tx, campaign: Campaign, author: str, at_ms: int) -> None:
    """A version of a campaign's rules, never changed afterwards. Raises Taken when it is there.

    Raises Refusal `promotion.campaign_invalid` for a document of more than 256 KiB.
    """
    document = _encode(campaign)
    if len(document) > DOCUMENT_BYTES_MAX:
        raise Refusal(
            "promotion.campaign_invalid",
            f"The campaign is {len(document)} bytes long.",
            field="rules",
            expected=f"at most {DOCUMENT_BYTES_MAX} bytes of JSON",
        )
    tx.execute(
        "INSERT INTO campaign_versions (gene, campaign_id, rules_version, document, author, at_ms)"
        " VALUES (?,?,?,?,?,?)",
        (GENE, campaign.campaign_id, campaign.version, document, author, at_ms),
    )


def select_campaign(tx: Tx, campaign_id: str) -> StoredCampaign | None:
    """A campaign with the newest version of its rules."""
    rows = tx.query(
        f"SELECT {_COLUMNS} FROM campaigns WHERE gene = ? AND campaign_id = ?", (GENE, campaign_id)
    )
    return _stored(tx, rows)[0] if rows else None


def select_page(tx: Tx, seller_id: str, state: str, after: str, limit: int) -> list[StoredCampaign]:
    """Campaigns of a seller (empty: of everybody) in a state (empty: in any), in order of id."""
    sql = f"SELECT {_COLUMNS} FROM campaigns WHERE gene = ? AND campaign_id > ?"
    params: list[str | int] = [GENE, after]
    for column, value in (("seller_id", seller_id), ("state", state)):
        if value:
            sql, params = f"{sql} AND {column} = ?", [*params, value]
    return _stored(tx, tx.query(f"{sql} ORDER BY campaign_id LIMIT ?", (*params, limit)))


def select_versions(tx: Tx, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Campaign]:
    """Rules by (campaign id, version)."""
    rows = tx.query_keys(
        f"{_VERSIONS} WHERE {{keys}}",
        ("gene", "campaign_id", "rules_version"),
        [(GENE, *key) for key in keys],
    )
    return {(row[0], row[1]): _decode(row[2]) for row in rows}


def select_history(tx: Tx, campaign_id: str, limit: int) -> list[KeptRules]:
    """The newest versions of a campaign's rules, newest first."""
    rows = tx.query(
        f"{_VERSIONS} WHERE gene = ? AND campaign_id = ? ORDER BY rules_version DESC LIMIT ?",
        (GENE, campaign_id, limit),
    )
    return [
        KeptRules(rules_version=row[1], campaign=_decode(row[2]), author=row[3], at_ms=row[4]) for row in rows
    ]


def select_active(tx: Tx, limit: int) -> list[tuple[str, int]]:
    """(campaign id, live version) of every campaign in force, in order of id."""
    return [
        (row[0], row[1])
        for row in tx.query(
            "SELECT campaign_id, live_version FROM campaigns WHERE gene = ? AND state = ?"
            " ORDER BY campaign_id LIMIT ?",
            (GENE, ACTIVE, limit),
        )
    ]


def newest_edition(tx: Tx) -> tuple[int, tuple[tuple[str, int], ...]]:
    """The newest edition and its (campaign id, version) pairs; 0 and nothing before the first."""
    rows = tx.query(
        "SELECT edition, campaigns FROM campaign_editions WHERE gene = ? ORDER BY edition DESC LIMIT 1",
        (GENE,),
    )
    return (rows[0][0], _members(rows[0][1])) if rows else (0, ())


def select_editions(tx: Tx, editions: Iterable[int]) -> dict[int, tuple[tuple[str, int], ...]]:
    """The (campaign id, version) pairs of editions."""
    rows = tx.query_keys(
        "SELECT edition, campaigns FROM campaign_editions WHERE {keys}",
        ("gene", "edition"),
        [(GENE, edition) for edition in editions],
    )
    return {row[0]: _members(row[1]) for row in rows}


def insert_edition(tx: Tx, edition: int, members: Sequence[tuple[str, int]], at_ms: int) -> None:
    """What is in force from now on. Raises Taken when somebody else wrote this edition."""
    tx.execute(
        "INSERT INTO campaign_editions (gene, edition, campaigns, at_ms) VALUES (?,?,?,?)",
        (GENE, edition, _encode(members), at_ms),
    )


def select_codes(tx: Tx, codes: Iterable[str]) -> dict[str, str]:
    """Campaign id by code."""
    rows = tx.query_keys(
        "SELECT code, campaign_id FROM campaign_codes WHERE {keys}",
        ("gene", "code"),
        [(GENE, code) for code in codes],
    )
    return dict(rows)


def replace_codes(tx: Tx, campaign_id: str, codes: Sequence[str], known: Iterable[str]) -> None:
    """Let these codes mean this campaign; those `known` belonged to one that has ended."""
    tx.execute_many(
        "DELETE FROM campaign_codes WHERE gene = ? AND code = ?", [(GENE, code) for code in sorted(known)]
    )
    tx.execute_many(
        "INSERT INTO campaign_codes (gene, code, campaign_id) VALUES (?,?,?)",
        [(GENE, code, campaign_id) for code in codes],
    )


def _values(one: StoredCampaign) -> tuple[str | int, ...]:
    return (
        one.campaign_id,
        one.seller_id,
        one.state,
        one.version,
        one.rules_version,
        one.live_version,
        one.updated_at_ms,
    )


def _stored(tx: Tx, rows: Sequence[Row]) -> list[StoredCampaign]:
    rules = select_versions(tx, [(row[0], row[4]) for row in rows]) if rows else {}
    return [
        StoredCampaign(
            campaign_id=row[0],
            seller_id=row[1],
            state=row[2],
            version=row[3],
            rules_version=row[4],
            live_version=row[5],
            updated_at_ms=row[6],
            campaign=rules[(row[0], row[4])],
        )
        for row in rows
    ]
