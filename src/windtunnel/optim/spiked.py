"""A schedule with a fault in it: for a share of the run the rate is many times what it should be.

It is `linear` otherwise. Made to see with which protection a training survives: Sao 2026, arXiv
2603.13552, multiplies the rate by 1,000 and by 10,000.
"""

from __future__ import annotations

from windtunnel.optim.schedule import linear


def spiked(
    tokens: float,
    total_tokens: float,
    *,
    warmup_tokens: float,
    final: float,
    factor: float,
    start: float,
    length: float,
) -> float:
    """The multiplier of `linear`, times `factor` from a share `start` of the run, for `length`.

    Raises:
        ValueError: the factor is below 0, or the spike does not lie within the run.
    """
    if not factor >= 0:
        raise ValueError(f"schedule.factor must be 0 or more, got {factor}: 1 is no spike")
    if not 0 <= start < start + length <= 1:
        raise ValueError(
            "schedule.start and schedule.length are shares of the run, and the spike must end "
            f"within it, got {start} and {length}: try 0.5 and 0.02"
        )
    inside = start * total_tokens <= tokens < (start + length) * total_tokens
    multiplier = linear(tokens, total_tokens, warmup_tokens=warmup_tokens, final=final)
    return multiplier * (factor if inside else 1.0)
