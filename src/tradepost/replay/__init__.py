"""Replay: a real shop's history through the real path, on virtual time, reconciled to the penny."""
