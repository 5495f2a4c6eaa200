"""Output heads: from hidden states to a score for every token of the vocabulary."""

from windtunnel.model.head.linear import LinearHead

__all__ = ["LinearHead"]
