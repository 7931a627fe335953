"""Keep campaigns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradepost.infra.storage.migrations.types import BLOB, IDENT, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the schema from the revision before to this one."""
    op.create_table(
        "campaigns",
        sa.Column("gene", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", IDENT, nullable=False),
        sa.Column("seller_id", IDENT, nullable=False),
        sa.Column("state", text(10), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rules_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("live_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("gene", "campaign_id"),
    )
    op.create_index(
        "campaigns_by_seller", "campaigns", ["gene", "seller_id", "campaign_id"], unique=False
    )
    op.create_index("campaigns_by_state", "campaigns", ["gene", "state", "campaign_id"], unique=False)
    op.create_table(
        "campaign_versions",
        sa.Column("gene", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", IDENT, nullable=False),
        sa.Column("rules_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", BLOB, nullable=False),
        sa.Column("author", IDENT, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("gene", "campaign_id", "rules_version"),
    )
    op.create_table(
        "campaign_codes",
        sa.Column("gene", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", text(40), nullable=False),
        sa.Column("campaign_id", IDENT, nullable=False),
        sa.PrimaryKeyConstraint("gene", "code"),
    )
    op.create_table(
        "campaign_editions",
        sa.Column("gene", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("edition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("campaigns", BLOB, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("gene", "edition"),
    )
