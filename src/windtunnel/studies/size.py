"""The parameter count of a model that was not built, from those of other widths.

At fixed depth a count is a polynomial of degree 2 in the width: N(w) = q2 w^2 + q1 w + q0. Three
widths give it exactly (Lagrange's form, in fractions), and the others say whether it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction


def interpolate(width: int, counts: Mapping[int, int]) -> Fraction:
    """Value at `width` of the polynomial through all points of `counts`."""
    total = Fraction(0)
    for own, count in counts.items():
        term = Fraction(count)
        for other in counts:
            if other != own:
                term *= Fraction(width - other, own - other)
        total += term
    return total


def count_at(width: int, counts: Mapping[int, int]) -> tuple[int, bool]:
    """Number of parameters at `width`, and whether every known count agrees with the polynomial.

    Args:
        width: the width that was not built.
        counts: number of parameters by width; at least three widths.

    Raises:
        ValueError: fewer than three widths are known.
    """
    if len(counts) < 3:
        raise ValueError(
            f"the size at width {width} needs the counts of at least 3 widths; got {dict(counts)}"
        )
    # The ends and the middle: rounding of inner sizes then hurts least.
    known = sorted(counts)
    chosen = (known[0], known[len(known) // 2], known[-1])
    points = {w: counts[w] for w in chosen}
    exact = all(interpolate(w, points) == counts[w] for w in known)
    return round(interpolate(width, points)), exact
