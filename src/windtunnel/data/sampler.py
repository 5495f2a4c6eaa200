"""Which rows make up a batch: a function of (seed, step) alone, with no state and no memory.

Epoch e visits rows by a permutation pi_(seed, e) of 0..n-1 that is computed, not stored: a Feistel
network over Z_a x Z_b with a b >= n, walked until it lands below n. Its round keys come from the
counter-based generator Philox with the key (seed, e).
Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", sections 4 and 5 (cycle
walking, generalised Feistel); Philox: Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3". Deviation: the round function is the 64-bit finaliser of SplitMix (Steele, Lea, Flood
2014), which shuffles well and is no cipher.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy import ndarray

_ROUNDS = 8


class ShuffledRows:
    """Batches of `n_batch` rows out of `n_rows`, epoch after epoch, each in its own order."""

    def __init__(self, *, n_rows: int, n_batch: int, seed: int) -> None:
        self.n_rows = n_rows
        self.n_batch = n_batch
        self.seed = seed

    def rows(self, step: int) -> ndarray:
        """The rows of batch `step` [n_batch]."""
        positions = np.arange(step * self.n_batch, (step + 1) * self.n_batch)
        epochs, places = np.divmod(positions, self.n_rows)
        rows = np.empty_like(places)
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = epochs == epoch
            rows[here] = permute(places[here], self.n_rows, round_keys(self.seed, epoch))
        return rows


@lru_cache(maxsize=64)
def round_keys(seed: int, epoch: int) -> ndarray:
    """Keys of the permutation of one epoch [rounds]."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.integers(0, 2**64, _ROUNDS, dtype=np.uint64)


def permute(places: ndarray, n: int, keys: ndarray) -> ndarray:
    """Images [m] of `places` [m] under a permutation of 0..n-1."""
    b = math.isqrt(n - 1) + 1
    a = -(-n // b)
    images = places.astype(np.uint64)
    outside = np.ones(len(images), bool)
    while outside.any():
        images[outside] = _feistel(images[outside], np.uint64(a), np.uint64(b), keys)
        outside = images >= n
    return images.astype(np.int64)


def scatter(places: ndarray, keys: ndarray) -> ndarray:
    """Numbers of 64 bits [m] that are as if drawn independently, one for each place [m]."""
    numbers = places.astype(np.uint64)
    for key in keys[:2]:
        numbers = _mix(numbers ^ key)
    return numbers


def _feistel(x: ndarray, a: np.uint64, b: np.uint64, keys: ndarray) -> ndarray:
    """A bijection of 0..ab-1."""
    left, right = x // b, x % b
    for first, second in zip(keys[::2], keys[1::2], strict=True):
        left = (left + _mix(right ^ first) % a) % a
        right = (right + _mix(left ^ second) % b) % b
    return left * b + right


def _mix(x: ndarray) -> ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # SplitMix64
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)  # SplitMix64
    return x ^ (x >> np.uint64(31))
