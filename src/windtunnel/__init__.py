"""Windtunnel: train a ladder of small language models, predict the loss of a large one."""

__version__ = "0.1.0"
