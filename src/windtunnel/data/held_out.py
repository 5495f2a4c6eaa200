"""Which held-out windows are scored: a fixed set, spread evenly over the domains.

Each domain's stream is cut into windows of `length` predictions. Domains share the tokens wanted
evenly; a domain that has less gives all it has and the others share the rest; within a domain the
windows kept lie at even distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy import ndarray


class Windows(NamedTuple):
    """The windows to score: domain and first token of each [n]."""

    domains: ndarray
    starts: ndarray


def choose_windows(n_tokens: Sequence[int], wanted: int, length: int) -> Windows:
    """Chooses windows of up to `length` predictions from streams of `n_tokens` each.

    wanted: predictions in all; at least one window is taken of every domain that has one.
    """
    available = [max(n - 1, 0) for n in n_tokens]
    shares = share_evenly(available, wanted)
    domains: list[int] = []
    starts: list[int] = []
    for domain, (n, share) in enumerate(zip(available, shares, strict=True)):
        n_windows = -(-n // length)
        n_kept = n_windows if share == n else min(max(share // length, 1), n_windows)
        starts += [(i * n_windows // n_kept) * length for i in range(n_kept)]
        domains += [domain] * n_kept
    return Windows(np.array(domains, np.int64), np.array(starts, np.int64))


def share_evenly(available: Sequence[int], wanted: int) -> list[int]:
    """Parts of `wanted`, equal but for those that have less."""
    shares = [0] * len(available)
    left = wanted
    by_size = sorted(range(len(available)), key=lambda i: available[i])
    for n_done, i in enumerate(by_size):
        shares[i] = min(available[i], left // (len(available) - n_done))
        left -= shares[i]
    return shares
