"""The archive: finished checkouts leave the database for files, and the books still agree."""

from tradepost.archive.files import Folder, find_order, open_folder
from tradepost.archive.model import ArchiveReport, Progress
from tradepost.archive.run import archive
from tradepost.archive.store import put_back

__all__ = ["ArchiveReport", "Folder", "Progress", "archive", "find_order", "open_folder", "put_back"]
