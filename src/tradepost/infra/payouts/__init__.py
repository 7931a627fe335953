"""Adapters of the port to banks: a sandbox that pays at once, and files for a bank that takes files."""
