"""Distillation: a student learns from the whole distribution of a trained teacher.

t: the teacher's logits, s: the student's, y: the target.

    Kullback-Leibler  L = tau^2 KL(softmax(t / tau) || softmax(s / tau))
    Plackett-Luce     L = sum_k q_{pi_k} [ log sum_{l >= k} exp(s_{pi_l}) - s_{pi_k} ]

pi ranks the vocabulary: the target first, the rest by falling t; q = softmax(t / tau). With
`top_k` only the target and the teacher's top_k others are ranked, the rest stands behind them as
one: the terms left out weigh what the teacher gives the rest. A teacher that is sure of the target
gives cross-entropy.

Source: Hinton et al. 2015, arXiv 1503.02531, section 2; Plackett-Luce: Bassam et al. 2025, arXiv
2506.12542; `top_k` is ours.

Axes: B batch, T time, D width, V vocabulary, K ranked tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from windtunnel.interfaces import Batch, Head, LossOutput
from windtunnel.loss.tokens import mean_scored, plain_nll


def kullback_leibler(student_BTV: Tensor, teacher_BTV: Tensor, temperature: float) -> Tensor:
    """tau^2 KL, by token [B, T]."""
    log_p_BTV = (student_BTV / temperature).log_softmax(-1)
    log_q_BTV = (teacher_BTV / temperature).log_softmax(-1)
    return temperature**2 * (log_q_BTV.exp() * (log_q_BTV - log_p_BTV)).sum(-1)


def plackett_luce(
    student_BTV: Tensor,
    teacher_BTV: Tensor,
    targets_BT: Tensor,
    temperature: float,
    top_k: int | None,
) -> Tensor:
    """The Plackett-Luce loss, by token [B, T]."""
    first_BT1, n_tokens = targets_BT.clamp(min=0).unsqueeze(-1), student_BTV.shape[-1]
    n_ranked = n_tokens if top_k is None else min(top_k + 1, n_tokens)
    leading_BTV = teacher_BTV.scatter(-1, first_BT1, torch.inf)
    ranking_BTK = leading_BTV.topk(n_ranked, dim=-1).indices
    q_BTK = (teacher_BTV / temperature).softmax(-1).gather(-1, ranking_BTK)
    s_BTK = student_BTV.gather(-1, ranking_BTK)
    after_BTK = s_BTK
    if n_ranked < n_tokens:
        rest_BTV = student_BTV.scatter(-1, ranking_BTK, -torch.inf)
        after_BTK = torch.cat([s_BTK, rest_BTV.logsumexp(-1, keepdim=True)], -1)
    left_BTK = after_BTK.flip(-1).logcumsumexp(-1).flip(-1)[..., :n_ranked]
    return (q_BTK * (left_BTK - s_BTK)).sum(-1)


class Teacher:
    """A trained model that only gives logits: no gradient, no dropout, nothing that is saved."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model.eval().requires_grad_(False)

    def __call__(self, batch: Batch, like_BTV: Tensor) -> Tensor:
        """Logits [B, T, V] in float32, of a vocabulary and on a device like the student's."""
        if next(self.model.parameters()).device != like_BTV.device:
            self.move(like_BTV.device)  # type: ignore[call-arg]
        with torch.no_grad():
            hidden_BTD = self.model(batch.tokens_BT, batch.documents_BT)
            logits_BTV = self.model.head(hidden_BTD).float()
        if logits_BTV.shape[-1] != like_BTV.shape[-1]:
            raise ValueError(
                f"loss.teacher must know the student's vocabulary of {like_BTV.shape[-1]} tokens, "
                f"got one of {logits_BTV.shape[-1]}: take a teacher that was trained with the same "
                "data and tokenizer"
            )
        return logits_BTV

    @torch.compiler.disable
    def move(self, device: torch.device) -> None:
        """Follows the student to its device, once."""
        self.model.to(device)


class KullbackLeibler:
    """Mean divergence from the teacher's distribution, at a `temperature`."""

    def __init__(self, *, teacher: nn.Module, temperature: float) -> None:
        self.teacher, self.temperature = Teacher(teacher), checked(temperature)

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV = head(hidden_BTD).float()
        teacher_BTV = self.teacher(batch, logits_BTV)
        each_BT = kullback_leibler(logits_BTV, teacher_BTV, self.temperature)
        nll_BT = plain_nll(logits_BTV.detach(), batch.targets_BT)
        return LossOutput(mean_scored(each_BT, batch.targets_BT), nll_BT, {})


class PlackettLuce:
    """Mean Plackett-Luce loss; `top_k` None ranks the whole vocabulary."""

    def __init__(self, *, teacher: nn.Module, temperature: float, top_k: int | None) -> None:
        if top_k is not None and top_k < 1:
            raise ValueError(
                f"loss.top_k must be at least 1, or null for the whole vocabulary, got {top_k}"
            )
        self.teacher, self.temperature = Teacher(teacher), checked(temperature)
        self.top_k = top_k

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        logits_BTV, targets_BT = head(hidden_BTD).float(), batch.targets_BT
        teacher_BTV = self.teacher(batch, logits_BTV)
        each_BT = plackett_luce(logits_BTV, teacher_BTV, targets_BT, self.temperature, self.top_k)
        nll_BT = plain_nll(logits_BTV.detach(), targets_BT)
        return LossOutput(mean_scored(each_BT, targets_BT), nll_BT, {})


def checked(temperature: float) -> float:
    """`temperature`, refused where it is no divisor."""
    if not temperature > 0:
        raise ValueError(f"loss.temperature must be above 0, got {temperature}: 1 is usual")
    return temperature
