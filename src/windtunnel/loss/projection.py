"""What a loss that does without logits asks of a head: the factors of its matrix product."""

from __future__ import annotations

from torch import Tensor

from windtunnel.interfaces import Head, Projection


def projection(head: Head, hidden_BTD: Tensor, loss: str) -> Projection:
    """The factors of the head's logits for hidden states [B, T, D].

    loss: what the config calls the loss that asks, for the message.

    Raises:
        ValueError: the head's logits are no matrix product.
    """
    project = getattr(head, "project", None)
    if project is None:
        raise ValueError(
            f"{loss} needs a head whose logits are a matrix product, and {type(head).__name__} is "
            "none: take loss=cross_entropy, which works with every head"
        )
    return project(hidden_BTD)
