"""The reference: all logits at once, in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.scored import Problem, Scored, Terms, total


def logits(problem: Problem, terms: Terms, preset: str) -> Scored:
    """Writes the logits [N, V]; every term, every device."""
    hidden_ND, weight_VD, bias_V, softcap, targets_N, token_weights_N = problem
    bias_V = None if bias_V is None else bias_V.to(hidden_ND.dtype)
    logits_NV = F.linear(hidden_ND, weight_VD.to(hidden_ND.dtype), bias_V)
    if logits_NV.dtype != torch.float64:
        logits_NV = logits_NV.float()
    if softcap is not None:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    nll_N = F.cross_entropy(logits_NV, targets_N, ignore_index=IGNORE_INDEX, reduction="none")
    if not (terms.label_smoothing or terms.z_loss):
        loss = (token_weights_N * nll_N).sum()
        return Scored(loss, nll_N.detach(), torch.zeros_like(nll_N, requires_grad=False))
    is_scored_N = targets_N != IGNORE_INDEX
    lse_N = torch.where(is_scored_N, logits_NV.logsumexp(1), 0)
    loss = total(terms, token_weights_N, nll_N, lse_N, logits_NV.mean(1))
    return Scored(loss, nll_N.detach(), lse_N.detach())
