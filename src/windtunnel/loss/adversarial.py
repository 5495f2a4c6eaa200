"""How far an adversary who moves the hidden state can move the margins: smooth adversarial losses.

With z = W h + b and y the target, the margins z_y - z_v move under h + d by M_y d, whose rows are
w_y - w_v. The smooth adversarial form of a loss adds `nu` times

    sup_{|d| <= r} |M_y d|_2 = r sigma_max(M_y)        r = radius * |h|

which for a head that is a matrix product needs no attack and no logits: with m the mean row,

    M_y^T M_y = sum_v (w_v - m)(w_v - m)^T + V (w_y - m)(w_y - m)^T

is one matrix [D, D] for all tokens and one rank-one part of each. Its largest eigenvalue comes from
a few steps of the power method without gradient; by the envelope theorem the gradient is that of
|M_y u| with the direction u held.

Source: Mao, Mohri and Zhong 2023, arXiv 2304.07288 (smooth adversarial comp-sum losses).
Deviations: the hidden state is what is moved, since a loss does not see the embeddings; the ball
is measured against |h|, taken as a constant, so that a radius means the same at every width.

Axes: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.projection import projection
from windtunnel.loss.tokens import mean_scored, plain_nll


def margin_gain(weight_VD: Tensor, targets_BT: Tensor, iterations: int) -> Tensor:
    """sigma_max(M_y) of every target [B, T], from so many steps of the power method."""
    centred_VD = weight_VD - weight_VD.mean(0)
    scatter_DD = centred_VD.T @ centred_VD
    own_BTD = centred_VD[targets_BT.clamp(min=0)]
    n_rows = len(weight_VD)

    def grown(u_BTD: Tensor, scatter_DD: Tensor, own_BTD: Tensor) -> Tensor:
        return u_BTD @ scatter_DD + n_rows * (own_BTD * u_BTD).sum(-1, keepdim=True) * own_BTD

    u_BTD = F.normalize(own_BTD.detach(), dim=-1)
    for _ in range(iterations):
        u_BTD = F.normalize(grown(u_BTD, scatter_DD.detach(), own_BTD.detach()), dim=-1)
    squared_BT = (u_BTD * grown(u_BTD, scatter_DD, own_BTD)).sum(-1)
    # A head that starts at zero has no direction yet: no gain, and no gradient.
    return squared_BT.clamp(min=torch.finfo(squared_BT.dtype).tiny).sqrt()


class AdversarialMargins:
    """Mean of r sigma_max(M_y) over tokens; an auxiliary, its weight in a composition is nu.

    radius: of the ball, as a share of |h|. iterations: steps of the power method.
    """

    def __init__(self, *, radius: float, iterations: int) -> None:
        if not radius >= 0:
            raise ValueError(
                f"loss.radius must not be below 0, got {radius}: it is a share of the size of the "
                "hidden state, such as 0.1"
            )
        if iterations < 1:
            raise ValueError(
                f"loss.iterations must be at least 1, got {iterations}: 4 steps of the power "
                "method are usual"
            )
        self.radius, self.iterations = radius, iterations

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        factors = projection(head, hidden_BTD, "loss=adversarial_margins")
        if factors.softcap is not None:
            raise ValueError(
                "loss=adversarial_margins needs a head without softcap, where margins move "
                f"linearly, got {factors.softcap}: set model.head.softcap=null"
            )
        with torch.autocast(hidden_BTD.device.type, enabled=False):
            reach_BT = self.radius * factors.hidden_BTD.detach().float().norm(dim=-1)
            gain_BT = margin_gain(factors.weight_VD.float(), batch.targets_BT, self.iterations)
        loss = mean_scored(reach_BT * gain_BT, batch.targets_BT)
        nll_BT = plain_nll(head(hidden_BTD).detach().float(), batch.targets_BT)
        return LossOutput(loss, nll_BT, {})
