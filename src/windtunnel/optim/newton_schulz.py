"""The nearest orthogonal matrix, roughly, by a few matrix products.

X_0 = M / |M|_F; then, `steps` times, A = X X^T, X <- a X + (b A + c A^2) X, which maps every
singular value s to f(s) = a s + b s^3 + c s^5. With the coefficients below, chosen for their slope
at 0, five steps bring all singular values from 0.01 to 1 into [0.68, 1.14], and not to 1.

Source: Jordan et al. 2024, github.com/KellerJordan/Muon, and the post that goes with it. Matrices
of one shape are worked on together, which is how a small model's are fast.

Axes: N matrices, R rows, C columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

A, B, C = 3.4445, -4.7750, 2.0315  # github.com/KellerJordan/Muon, zeropower_via_newtonschulz5
LEAST_NORM = 1e-7  # same place


def newton_schulz(M_NRC: Tensor, steps: int) -> Tensor:
    """U f(...f(S)) V^T [N, R, C] of each M = U S V^T, in M's own precision."""
    wide = M_NRC.shape[-2] <= M_NRC.shape[-1]
    X_NRC = M_NRC if wide else M_NRC.mT
    X_NRC = X_NRC / X_NRC.norm(dim=(-2, -1), keepdim=True).clamp(min=LEAST_NORM)
    for _ in range(steps):
        gram_NRR = X_NRC @ X_NRC.mT
        update_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=B, alpha=C)
        X_NRC = torch.baddbmm(X_NRC, update_NRR, X_NRC, beta=A)
    return X_NRC if wide else X_NRC.mT
