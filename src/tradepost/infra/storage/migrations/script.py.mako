"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradepost.infra.storage.migrations.types import BLOB, IDENT, text
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:  # noqa: PLR0915 - generated
    """Bring the schema from the revision before to this one."""
    ${upgrades if upgrades else "pass"}
