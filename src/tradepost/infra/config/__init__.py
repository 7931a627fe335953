"""Adapters of the config centre."""
