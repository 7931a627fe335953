"""Torture: a real server under load is killed, starved of disk and crowded; what it said yes to must stand."""
