"""The servers of the production profile on this machine: bring them up, look at them, take them down."""

from tradepost.services.fleet import PRODUCTION, RECIPES, addresses, down, fetch, status, up
from tradepost.services.model import How, Server
from tradepost.services.testing import pids, running, start, stop

__all__ = [
    "PRODUCTION",
    "RECIPES",
    "How",
    "Server",
    "addresses",
    "down",
    "fetch",
    "pids",
    "running",
    "start",
    "status",
    "stop",
    "up",
]
