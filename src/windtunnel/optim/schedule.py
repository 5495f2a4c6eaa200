"""Learning-rate schedules: multiplier of the peak rate as a pure function of tokens seen.

All of them warm up for `warmup_tokens`, linearly but for `inverse_log`, whose warm-up is
log(1 + t/unit) / log(1 + warmup/unit) (Mu-Scaling and DeepSpeed's WarmupDecayLR).
`inverse_sqrt`: (1 + (t - warmup) / timescale)^-1/2; with timescale = warmup that of Vaswani et al.
2017, arXiv 1706.03762, eq. 3. `cyclic`: Smith 2017, arXiv 1506.01186, section 3.2. `wsd` and
`stable_decay` keep the peak until they decay (Hu et al. 2024, arXiv 2404.06395, section 4), x being
the share of the decay that is over: `linear` to the end at `final`, 1 - (1 - final) x;
`one_minus_sqrt`, with sqrt(x) for x (Haegele et al. 2024, arXiv 2405.18392); `exponential` final^x,
which is MiniCPM's 0.5^(t / T) for a decay over T log2(1 / final) tokens.
"""

from __future__ import annotations

import math

ROUNDING = 1e-9  # of a share of all tokens


def ramp(tokens: float, warmup_tokens: float) -> float:
    """Linear warm-up from 0 to 1."""
    return min(1.0, tokens / warmup_tokens) if warmup_tokens else 1.0


def progress(tokens: float, start: float, end: float) -> float:
    """Share of the way from `start` to `end`, kept within 0 and 1."""
    return min(1.0, max(0.0, (tokens - start) / (end - start)))


def check_warmup(warmup_tokens: float, total_tokens: float) -> None:
    """Raises ValueError where the warm-up would not end before training does."""
    if not 0 <= warmup_tokens < total_tokens:
        raise ValueError(
            f"schedule.warmup_tokens must be below the budget, got {warmup_tokens:g} of "
            f"{total_tokens:g} tokens: lower schedule.warmup_tokens or raise budget.tokens; 0 is "
            "none"
        )


def check_multiplier(name: str, value: float) -> None:
    """Raises ValueError where a share of the peak rate is none."""
    if not 0 <= value <= 1:
        raise ValueError(
            f"schedule.{name} must lie in [0, 1], got {value}: it multiplies the peak rate"
        )


def check_span(name: str, tokens: float) -> None:
    """Raises ValueError where a stretch of tokens has no length."""
    if not tokens > 0:
        raise ValueError(f"schedule.{name} must be above 0, got {tokens}: give a number of tokens")


def constant(tokens: float, total_tokens: float, *, warmup_tokens: float) -> float:
    """Warm-up, then the peak to the end."""
    check_warmup(warmup_tokens, total_tokens)
    return ramp(tokens, warmup_tokens)


def linear(tokens: float, total_tokens: float, *, warmup_tokens: float, final: float) -> float:
    """Warm-up, then a straight line down to `final` times the peak."""
    check_warmup(warmup_tokens, total_tokens)
    check_multiplier("final", final)
    down = progress(tokens, warmup_tokens, total_tokens)
    return ramp(tokens, warmup_tokens) * (1 - (1 - final) * down)


def cosine(tokens: float, total_tokens: float, *, warmup_tokens: float, final: float) -> float:
    """Warm-up, then half a cosine down to `final` times the peak."""
    check_warmup(warmup_tokens, total_tokens)
    check_multiplier("final", final)
    down = progress(tokens, warmup_tokens, total_tokens)
    return ramp(tokens, warmup_tokens) * (
        final + (1 - final) * 0.5 * (1 + math.cos(math.pi * down))
    )


def inverse_log(
    tokens: float, total_tokens: float, *, warmup_tokens: float, unit_tokens: float, final: float
) -> float:
    """Warm-up in the logarithm of tokens, then a straight line down to `final` times the peak."""
    check_warmup(warmup_tokens, total_tokens)
    check_multiplier("final", final)
    check_span("unit_tokens", unit_tokens)
    if not warmup_tokens:
        return 1 - (1 - final) * progress(tokens, 0, total_tokens)
    up = math.log1p(tokens / unit_tokens) / math.log1p(warmup_tokens / unit_tokens)
    return min(1.0, up) * (1 - (1 - final) * progress(tokens, warmup_tokens, total_tokens))


def inverse_sqrt(
    tokens: float, total_tokens: float, *, warmup_tokens: float, timescale_tokens: float
) -> float:
    """Warm-up, then down as one over the square root; it does not know where training ends."""
    check_warmup(warmup_tokens, total_tokens)
    check_span("timescale_tokens", timescale_tokens)
    since = max(0.0, tokens - warmup_tokens)
    return ramp(tokens, warmup_tokens) * (1 + since / timescale_tokens) ** -0.5


def cyclic(
    tokens: float, total_tokens: float, *, warmup_tokens: float, period_tokens: float, low: float
) -> float:
    """Warm-up, then straight down to `low` times the peak and up again, once a period."""
    check_warmup(warmup_tokens, total_tokens)
    check_multiplier("low", low)
    check_span("period_tokens", period_tokens)
    phase = max(0.0, tokens - warmup_tokens) / period_tokens % 1
    return ramp(tokens, warmup_tokens) * (1 - (1 - low) * (1 - abs(1 - 2 * phase)))


def wsd(
    tokens: float,
    total_tokens: float,
    *,
    warmup_tokens: float,
    decay_fraction: float,
    final: float,
) -> float:
    """Warm-up, the peak, then a straight line down over the last `decay_fraction`."""
    return stable_decay(
        tokens,
        total_tokens,
        warmup_tokens=warmup_tokens,
        shape="linear",
        decay_fraction=decay_fraction,
        decay_tokens=None,
        final=final,
    )


def stable_decay(
    tokens: float,
    total_tokens: float,
    *,
    warmup_tokens: float,
    shape: str,
    decay_fraction: float | None,
    decay_tokens: float | None,
    final: float,
) -> float:
    """Warm-up, the peak, then down to `final` times the peak, over a share or over so many tokens.

    Raises:
        ValueError: no shape of this name, or a decay that does not fit behind the warm-up.
    """
    check_warmup(warmup_tokens, total_tokens)
    check_multiplier("final", final)
    start = decay_start(total_tokens, warmup_tokens, decay_fraction, decay_tokens)
    down = progress(tokens, start, total_tokens)
    match shape:
        case "linear":
            falling = 1 - (1 - final) * down
        case "one_minus_sqrt":
            falling = 1 - (1 - final) * math.sqrt(down)
        case "exponential" if final > 0:
            falling = final**down
        case "exponential":
            raise ValueError(
                "schedule.final must be above 0 for schedule.shape=exponential, which never gets "
                "to 0: try 0.1"
            )
        case _:
            raise ValueError(
                f"schedule.shape must be linear, one_minus_sqrt or exponential, got {shape}"
            )
    return ramp(tokens, warmup_tokens) * falling


def decay_start(
    total_tokens: float,
    warmup_tokens: float,
    decay_fraction: float | None,
    decay_tokens: float | None,
) -> float:
    """After how many tokens the decay begins.

    Raises:
        ValueError: its length is given twice or not at all, is none, or is too long.
    """
    if (decay_fraction is None) == (decay_tokens is None):
        raise ValueError(
            "schedule: give one of decay_fraction and decay_tokens and leave the other null, got "
            f"decay_fraction={decay_fraction} and decay_tokens={decay_tokens}"
        )
    if decay_fraction is not None:
        start, length = (1 - decay_fraction) * total_tokens, decay_fraction * total_tokens
    else:
        assert decay_tokens is not None
        start, length = total_tokens - decay_tokens, decay_tokens
    room = total_tokens - warmup_tokens
    if not 0 < length <= room * (1 + ROUNDING):
        raise ValueError(
            f"schedule: the decay must lie between the warm-up and the end, got {length:g} tokens "
            f"of {total_tokens:g} after a warm-up of {warmup_tokens:g}: change "
            "schedule.decay_fraction or schedule.decay_tokens, or raise budget.tokens"
        )
    return start
