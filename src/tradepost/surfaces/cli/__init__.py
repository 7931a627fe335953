"""The terminal: every command answers `--help`, prints `--json` where it prints data, and ends with a clear code."""
