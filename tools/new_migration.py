"""Write the next schema revision from the difference between the revisions and the table definitions.

python tools/new_migration.py "Add coupons"     the next revision
python tools/new_migration.py --again "Begin"   the newest revision anew, while no release has it
python tools/new_migration.py "Take it away" --for-those-who-know 0006   one that takes something away
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from tradepost.infra.storage.migrate import configuration, load_tables
from tradepost.infra.storage.migrations import REVISIONS

FOLDER = Path(__file__).parent.parent / "src/tradepost/infra/storage/migrations"


def main() -> None:
    """Write the revision file and note its name in REVISIONS."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("message", help="an imperative sentence, such as 'Add coupons'")
    parser.add_argument("--again", action="store_true", help="replace the newest revision")
    parser.add_argument(
        "--for-those-who-know", metavar="REVISION", default="", help="it takes something away"
    )
    asked = parser.parse_args()
    known = list(REVISIONS)
    if asked.again and known:
        for old in (FOLDER / "versions").glob(f"{known.pop()}_*.py"):
            old.unlink()
    floor = asked.for_those_who_know or (known[-1].partition(".")[2] if known else "")
    number = f"{len(known) + 1:04}" + (f".{floor}" if floor else "")
    write_revision(number, asked.message)
    names = ", ".join(f'"{name}"' for name in [*known, number])
    init = FOLDER / "__init__.py"
    init.write_text(
        re.sub(
            r"^REVISIONS: [^(]*\([^)]*\)",
            f"REVISIONS: tuple[str, ...] = ({names},)",
            init.read_text("utf-8"),
            count=1,
            flags=re.MULTILINE,
        ),
        "utf-8",
    )
    for action in (["format", "-q"], ["check", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *action, str(FOLDER)], check=False)
    print(f"revision {number}: read it before you commit it")


def write_revision(number: str, message: str) -> None:
    """Let Alembic compare a database at the newest revision with METADATA."""
    load_tables()
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/empty.db")
        with engine.connect() as connection:
            config = configuration(connection)
            command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=number)
        engine.dispose()


if __name__ == "__main__":
    main()
