"""Learning-rate schedules: multiplier of the peak rate as a pure function of tokens seen.

All of them warm up for `warmup_tokens`, linearly but for `inverse_log`, whose warm-up is
log(1 + t/unit) / log(1 + warmup/unit) (Mu-Scaling and DeepSpeed's WarmupDecayLR). `wsd` keeps the
peak until the last `decay_fraction` of all tokens (Hu et al. 2024, arXiv 2404.06395, section 4).
"""

from __future__ import annotations

import math


def ramp(tokens: float, warmup_tokens: float) -> float:
    """Linear warm-up from 0 to 1."""
    return min(1.0, tokens / warmup_tokens) if warmup_tokens else 1.0


def progress(tokens: float, start: float, end: float) -> float:
    """Share of the way from `start` to `end`, kept within 0 and 1."""
    return min(1.0, max(0.0, (tokens - start) / (end - start)))


def check_warmup(warmup_tokens: float, total_tokens: float) -> None:
    """Raises ValueError where the warm-up would not end before training does."""
    if warmup_tokens >= total_tokens:
        raise ValueError(
            f"schedule.warmup_tokens must be below the budget, got {warmup_tokens:g} of "
            f"{total_tokens:g} tokens: lower schedule.warmup_tokens or raise budget.tokens"
        )


def constant(tokens: float, total_tokens: float, *, warmup_tokens: float) -> float:
    """Warm-up, then the peak to the end."""
    check_warmup(warmup_tokens, total_tokens)
    return ramp(tokens, warmup_tokens)


def linear(tokens: float, total_tokens: float, *, warmup_tokens: float, final: float) -> float:
    """Warm-up, then a straight line down to `final` times the peak."""
    check_warmup(warmup_tokens, total_tokens)
    down = progress(tokens, warmup_tokens, total_tokens)
    return ramp(tokens, warmup_tokens) * (1 - (1 - final) * down)


def cosine(tokens: float, total_tokens: float, *, warmup_tokens: float, final: float) -> float:
    """Warm-up, then half a cosine down to `final` times the peak."""
    check_warmup(warmup_tokens, total_tokens)
    down = progress(tokens, warmup_tokens, total_tokens)
    return ramp(tokens, warmup_tokens) * (
        final + (1 - final) * 0.5 * (1 + math.cos(math.pi * down))
    )


def inverse_log(
    tokens: float, total_tokens: float, *, warmup_tokens: float, unit_tokens: float, final: float
) -> float:
    """Warm-up in the logarithm of tokens, then a straight line down to `final` times the peak."""
    check_warmup(warmup_tokens, total_tokens)
    up = math.log1p(tokens / unit_tokens) / math.log1p(warmup_tokens / unit_tokens)
    return min(1.0, up) * (1 - (1 - final) * progress(tokens, warmup_tokens, total_tokens))


def wsd(
    tokens: float,
    total_tokens: float,
    *,
    warmup_tokens: float,
    decay_fraction: float,
    final: float,
) -> float:
    """Warm-up, the peak, then a straight line down over the last `decay_fraction`."""
    check_warmup(warmup_tokens, total_tokens)
    down = progress(tokens, (1 - decay_fraction) * total_tokens, total_tokens)
    return ramp(tokens, warmup_tokens) * (1 - (1 - final) * down)
