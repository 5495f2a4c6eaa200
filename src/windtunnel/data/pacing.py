"""Pacing: which share of the documents, easiest first, is available at a share t of the budget.

With s = `start`, u = `until` and p = `power`:
linear:     min(1, s + (1 - s) t / u)
root:       min(1, s + (1 - s) (t / u)^(1/p))
step:       min(1, s + (1 - s) floor(n t / u) / n), n = `n_steps`
competence: min(1, (s^p + (1 - s^p) t / u)^(1/p))
Source: Wu, Dyer and Neyshabur 2021, "When do curricula work?", arXiv 2012.03107, table 2 (linear,
root, step); Platanios et al. 2019, arXiv 1903.09848, equation 7 and section 3.3 (competence, with
p = 2 and s = 0.01). Deviation: their step is a single one, n = 1.
"""

from __future__ import annotations


def linear(t: float, *, start: float, until: float) -> float:
    """Grows evenly."""
    _check(start, until, 1)
    return min(1.0, start + (1 - start) * t / until)


def root(t: float, *, start: float, until: float, power: float) -> float:
    """Grows fast at first: with a larger `power` the faster."""
    _check(start, until, power)
    return min(1.0, start + (1 - start) * (t / until) ** (1 / power))


def step(t: float, *, start: float, until: float, n_steps: int) -> float:
    """Grows `n_steps` times by the same."""
    _check(start, until, n_steps)
    return min(1.0, start + (1 - start) * int(n_steps * t / until) / n_steps)


def competence(t: float, *, start: float, until: float, power: float) -> float:
    """Grows so that what is new is seen as often as what there was."""
    _check(start, until, power)
    return min(1.0, (start**power + (1 - start**power) * t / until) ** (1 / power))


def _check(start: float, until: float, power: float) -> None:
    if not 0 <= start <= 1:
        raise ValueError(
            f"pacing.start: expected a share from 0 to 1, got {start}; 0.01 begins with the "
            "easiest hundredth"
        )
    if not 0 < until <= 1:
        raise ValueError(
            f"pacing.until: expected a share of the budget above 0 and up to 1, got {until}; 0.5 "
            "has all at half of it"
        )
    if not power >= 1:
        raise ValueError(f"pacing.power, n_steps: expected at least 1, got {power}; raise it")
