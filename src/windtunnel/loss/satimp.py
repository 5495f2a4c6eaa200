"""SatImp: forgets some text by gradient ascent, weighing its tokens, and keeps the rest.

p: probability of the target; w = p^beta_1 (1 - p)^beta_2, held without gradient;

    L = -mean_{forget}(w (-log p)) + retain mean_{retain}(-log p)

p^beta_1 favours what is known well (saturation), (1 - p)^beta_2 what has still to go (importance);
w is largest at p = beta_1 / (beta_1 + beta_2). beta_2 = 0 is SimSat, beta_1 = 0 SimImp, both 0
plain ascent, which has no bound. What is forgotten are the windows of some domains, by their index
in the order of the data's domains; the others are retained.

Source: Yang et al. 2025, arXiv 2505.11953.

Axes: B batch, T time, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll


def weight(nll: Tensor, beta_1: float, beta_2: float) -> Tensor:
    """w of targets with the negative log-likelihoods `nll`, any shape, without gradient."""
    nll = nll.detach()
    return (-nll).exp() ** beta_1 * (-torch.expm1(-nll)) ** beta_2


class SatImp:
    """Ascends on the windows of `forget_domains`, and adds `retain` times the loss of the rest."""

    def __init__(
        self, *, beta_1: float, beta_2: float, forget_domains: Sequence[int], retain: float
    ) -> None:
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2), ("retain", retain)):
            if not value >= 0:
                raise ValueError(f"loss.{name} must not be below 0, got {value}")
        domains = list(forget_domains)
        if not domains or min(domains) < 0:
            raise ValueError(
                f"loss.forget_domains must hold indices of domains from 0 on, got {domains}: name "
                "at least one to forget"
            )
        self.beta_1, self.beta_2, self.retain = beta_1, beta_2, retain
        self.forget_domains = domains

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        targets_BT = batch.targets_BT
        nll_BT = plain_nll(head(hidden_BTD).float(), targets_BT)
        matches = [batch.domains_B == domain for domain in self.forget_domains]
        forgets_B1 = torch.stack(matches).any(0).unsqueeze(-1)
        w_BT = weight(nll_BT, self.beta_1, self.beta_2)
        forget = -mean_scored(w_BT * nll_BT, torch.where(forgets_B1, targets_BT, IGNORE_INDEX))
        retain = mean_scored(nll_BT, torch.where(forgets_B1, IGNORE_INDEX, targets_BT))
        loss = forget + self.retain * retain
        return LossOutput(loss, nll_BT, {"forget": forget, "retain": retain})
