"""How much of a mixture each domain gets, from how much text it has.

Temperature: p_g proportional to n_g^alpha; 1 keeps the natural proportions, 0 makes all equal.
UniMax: equal parts of the budget, but of no domain more than `epochs` times its text; what it
cannot take is shared by the others, the smallest domain first.
Source: Devlin et al. 2019, multilingual BERT (alpha 0.7), Conneau et al. 2020, arXiv 1911.02116,
section 3.1 (0.3); UniMax: Chung et al. 2023, arXiv 2304.09151, algorithm 1. Where the budget is
beyond `epochs` times all the text, UniMax stops there; here the proportions of that point are kept.

Axes: G groups.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from windtunnel.data.held_out import share_evenly


def temperature(n_tokens_G: ndarray, alpha: float) -> ndarray:
    """Weights [G] with sum 1 for groups of so many tokens [G]; an empty group gets none."""
    powers_G = np.where(n_tokens_G > 0, np.maximum(n_tokens_G, 1) ** float(alpha), 0.0)
    return powers_G / powers_G.sum()


def unimax(n_tokens_G: ndarray, budget: int, epochs: float) -> ndarray:
    """Weights [G] with sum 1 that give no group more than `epochs` times its tokens."""
    caps = [max(int(epochs * n), min(int(n), 1)) for n in n_tokens_G]
    shares_G = np.array(share_evenly(caps, budget), float)
    return shares_G / shares_G.sum()
