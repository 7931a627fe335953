"""Keys and secrets: those everybody knows, and the one that signs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tradepost.kernel.errors import Refusal
from tradepost.settings.tree import Mode, Settings

SECRET_BYTES_MIN = 32
SECRET_FILE = "signing-secret"  # noqa: S105 - a file name

DEMO_KEYS: dict[str, str] = {
    "storefront": "tp_storefront_demo",
    "operator": "tp_operator_demo",
    "buyer": "tp_buyer_demo",
    "creator": "tp_creator_demo",
    "seller": "tp_seller_demo",
    "seller_2": "tp_seller_demo_toys",
    "seller_3": "tp_seller_demo_paper",
}
"""Keys everybody knows: they exist in demo mode only, and production does not start beside one."""


def signing_secret(settings: Settings) -> bytes:
    """The secret that signs quotes and guest tokens.

    Outside production an empty one is made once and kept in the data folder, readable by its owner alone. Raises
    Refusal `settings.secret_missing` in production without one of 32 bytes or more.
    """
    configured = settings.security.signing_secret.encode()
    if configured or settings.mode is Mode.PRODUCTION:
        if len(configured) < SECRET_BYTES_MIN:
            raise Refusal(
                "settings.secret_missing",
                f"The signing secret has {len(configured)} bytes.",
                field="security.signing_secret",
                expected=f"{SECRET_BYTES_MIN} bytes or more",
            )
        return configured
    path = Path(settings.server.data_dir) / SECRET_FILE
    if not path.exists():
        _make_secret(path)
    kept = path.read_bytes()
    if len(kept) < SECRET_BYTES_MIN:
        raise Refusal(
            "settings.secret_missing",
            f"{path} has {len(kept)} bytes.",
            field="security.signing_secret",
            expected=f"{SECRET_BYTES_MIN} bytes or more",
        )
    return kept


def _make_secret(path: Path) -> None:
    """Put a new secret there at once as a whole: of processes that start together one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = os.urandom(SECRET_BYTES_MIN).hex().encode()
    part = path.with_name(f"{path.name}.{drawn[:16].decode()}")
    write_private(part, os.urandom(SECRET_BYTES_MIN).hex().encode())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()


def write_private(path: Path, content: bytes) -> None:
    """Make a file that its owner alone can read; raises FileExistsError rather than overwrite one."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
