"""The archive: finished checkouts leave the database for files, and the books still agree."""

from tradepost.archive.files import Folder, open_folder
from tradepost.archive.model import ArchiveReport, Progress
from tradepost.archive.run import archive

__all__ = ["ArchiveReport", "Folder", "Progress", "archive", "open_folder"]
