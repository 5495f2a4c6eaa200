"""What a short run says of its tokenizer: what a token costs, and how much text it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.interfaces import Record
from windtunnel.studies.runs import mean_curve


@dataclass(frozen=True)
class Cost:
    """What a probe says of a tokenizer.

    flops_per_token: of training. bytes_per_token: of the training text, separators counted as
    tokens. held_out_tokens: of the whole held-out text. tokens_per_step: of one optimiser step.
    """

    flops_per_token: float
    bytes_per_token: float
    held_out_tokens: int
    tokens_per_step: int


def cost(record: Record, flops_convention: str) -> Cost:
    """What the record of a run says of its tokenizer.

    Raises:
        ValueError: the data are no text.
    """
    domains = record.data["domains"].values()
    n_bytes = sum(domain["train_bytes"] for domain in domains)
    if not n_bytes:
        raise ValueError(
            "data: expected text, whose bytes tokenizers can share, got a source of token ids; set "
            "data=stdlib or data=text"
        )
    return Cost(
        flops_per_token=record.train_flops[flops_convention] / record.tokens,
        bytes_per_token=n_bytes / sum(domain["train_tokens"] for domain in domains),
        held_out_tokens=sum(domain["held_out_tokens"] for domain in domains),
        tokens_per_step=record.tokens // record.steps,
    )


def bits_curve(records: Sequence[Record], own: Cost) -> dict[str, list[float]]:
    """Mean bits per byte against FLOPs."""
    if not records:
        return {"flops": [], "bits_per_byte": []}
    mean = mean_curve([record.eval_curve for record in records])
    per_nat = 1 / (records[0].data["bytes_per_token"] * math.log(2))
    return {
        "flops": [tokens * own.flops_per_token for tokens in mean["tokens"]],
        "bits_per_byte": [loss * per_nat for loss in mean["loss"]],
    }
