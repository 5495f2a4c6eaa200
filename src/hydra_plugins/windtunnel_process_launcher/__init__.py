"""Hydra launcher: every job in a process of its own, forked from a warm server."""
