"""What every backend of the linear cross-entropy takes and gives.

With logits z_nv of the projection, w_n the weight of token n, S the label smoothing and L the
z-loss,

    nll_n = lse_n - z_n,target        lse_n = log sum_v exp(z_nv)
    loss  = sum_n w_n ((1 - S) nll_n + S (lse_n - mean_v z_nv) + L lse_n^2)

Only `loss` has a gradient.

Source: label smoothing as in `torch.nn.functional.cross_entropy`; z-loss: Chowdhery et al. 2022,
arXiv 2204.02311, section 5.

Axes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Terms:
    """What is added to the plain cross-entropy; see the formula above."""

    label_smoothing: float
    z_loss: float


class Problem(NamedTuple):
    """hidden_ND [N, D], weight_VD [V, D], bias_V [V], targets_N [N] with `IGNORE_INDEX` where
    nothing is scored, token_weights_N [N] in float32, 0 there. softcap as in `Projection`."""

    hidden_ND: Tensor
    weight_VD: Tensor
    bias_V: Tensor | None
    softcap: float | None
    targets_N: Tensor
    token_weights_N: Tensor


class Scored(NamedTuple):
    """loss: what is minimised []. nll_N: plain negative log-likelihood in nats [N], lse_N:
    logarithm of the sum of exponentials [N]; both 0 where ignored, and without gradient."""

    loss: Tensor
    nll_N: Tensor
    lse_N: Tensor


class Backend(Protocol):
    """Scores a problem; refuses with a ValueError what it cannot do."""

    def __call__(self, problem: Problem, terms: Terms, preset: str) -> Scored: ...


def total(
    terms: Terms, token_weights_N: Tensor, nll_N: Tensor, lse_N: Tensor, mean_logit_N: Tensor
) -> Tensor:
    """The loss [] from its parts per token."""
    each_N = nll_N
    if terms.label_smoothing:
        each_N = nll_N + terms.label_smoothing * (lse_N - mean_logit_N - nll_N)
    if terms.z_loss:
        each_N = each_N + terms.z_loss * lse_N.square()
    return (token_weights_N * each_N).sum()
