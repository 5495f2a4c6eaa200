"""The running evaluation: plain negative log-likelihood by domain and overall.

The overall figure is the mean over all held-out tokens, so that a domain counts by its tokens;
bits per byte = nats per token * tokens per byte / ln 2.

Axes: B batch, T time, S domains.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from windtunnel.interfaces import IGNORE_INDEX, Evaluation


class DomainLoss(Metric):
    """Sums nats and tokens of every domain; right under several devices, by adding the sums."""

    full_state_update = False
    nats_S: Tensor
    tokens_S: Tensor

    def __init__(
        self,
        domains: list[str],
        bytes_per_token: dict[str, float],
        overall_bytes_per_token: float,
    ) -> None:
        super().__init__()
        self.domains = domains
        self.bytes_per_token = bytes_per_token
        self.overall_bytes_per_token = overall_bytes_per_token
        empty = torch.zeros(len(domains), dtype=torch.float64)
        self.add_state("nats_S", empty, dist_reduce_fx="sum")
        self.add_state("tokens_S", empty.clone(), dist_reduce_fx="sum")

    def update(self, nll_BT: Tensor, targets_BT: Tensor, domains_B: Tensor) -> None:
        scored_B = (targets_BT != IGNORE_INDEX).sum(1).to(self.tokens_S.dtype)
        self.nats_S.index_add_(0, domains_B, nll_BT.sum(1, dtype=self.nats_S.dtype))
        self.tokens_S.index_add_(0, domains_B, scored_B)

    def compute(self) -> tuple[Tensor, Tensor]:
        """Nats and tokens of every domain [S], over all devices."""
        return self.nats_S, self.tokens_S

    def evaluation(self) -> Evaluation:
        """The means, by domain and overall."""
        # torchmetrics hands a vector of one back as a number.
        nats, tokens = (torch.atleast_1d(sums).tolist() for sums in self.compute())
        domains = {
            name: score(nats[i], tokens[i], self.bytes_per_token[name])
            for i, name in enumerate(self.domains)
            if tokens[i]
        }
        overall = score(sum(nats), sum(tokens), self.overall_bytes_per_token)
        return Evaluation(
            loss_nats=overall["loss_nats"],
            bits_per_byte=overall["bits_per_byte"],
            n_tokens=int(sum(tokens)),
            domains=domains,
        )


def score(nats: float, tokens: float, bytes_per_token: float) -> dict[str, float]:
    """Mean loss in nats per token and in bits per byte, with the tokens they rest on."""
    loss = nats / tokens if tokens else math.nan
    return {
        "loss_nats": loss,
        "bits_per_byte": loss / bytes_per_token / math.log(2) if bytes_per_token else math.nan,
        "n_tokens": tokens,
    }
