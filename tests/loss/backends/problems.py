"""Problems for the backends of the cross-entropy, and the answer in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.scored import Problem, Scored, Terms


def problem(
    n_tokens: int,
    vocabulary: int,
    width: int,
    *,
    dtype: torch.dtype = torch.float32,
    softcap: float | None = None,
    has_bias: bool = False,
    ignored: float = 0.2,
    weighed: bool = False,
    size: float = 1.0,
) -> Problem:
    """Random factors whose logits have a standard deviation near `size`; they want gradients."""
    generator = torch.Generator().manual_seed(n_tokens + vocabulary + width)
    hidden_ND = torch.randn(n_tokens, width, generator=generator)
    weight_VD = torch.randn(vocabulary, width, generator=generator) * size * width**-0.5
    targets_N = torch.randint(vocabulary, (n_tokens,), generator=generator)
    targets_N[torch.rand(n_tokens, generator=generator) < ignored] = IGNORE_INDEX
    is_scored_N = targets_N != IGNORE_INDEX
    weights_N = torch.rand(n_tokens, generator=generator) if weighed else torch.ones(n_tokens)
    bias_V = torch.randn(vocabulary, generator=generator).requires_grad_() if has_bias else None
    return Problem(
        hidden_ND.to(dtype).requires_grad_(),
        weight_VD.to(dtype).requires_grad_(),
        bias_V if bias_V is None else bias_V.detach().to(dtype).requires_grad_(),
        softcap,
        targets_N,
        weights_N * is_scored_N / is_scored_N.sum().clamp(min=1),
    )


def factors(given: Problem) -> list[Tensor]:
    return [x for x in (given.hidden_ND, given.weight_VD, given.bias_V) if x is not None]


def in_float64(given: Problem) -> Problem:
    hidden_ND, weight_VD, bias_V = (
        None if x is None else x.detach().double().requires_grad_() for x in given[:3]
    )
    assert hidden_ND is not None
    assert weight_VD is not None
    return Problem(hidden_ND, weight_VD, bias_V, *given[3:5], given[5].double())


def answer(given: Problem, terms: Terms) -> tuple[Scored, tuple[Tensor, ...]]:
    """The definition, written out in float64; and its gradients by hidden, weight and bias."""
    wide = in_float64(given)
    logits_NV = wide.hidden_ND @ wide.weight_VD.T
    if wide.bias_V is not None:
        logits_NV = logits_NV + wide.bias_V
    if wide.softcap is not None:
        logits_NV = wide.softcap * (logits_NV / wide.softcap).tanh()
    scored_N = wide.targets_N != IGNORE_INDEX
    lse_N = logits_NV.logsumexp(1) * scored_N
    logit_N = logits_NV[torch.arange(len(logits_NV)), wide.targets_N.clamp(min=0)] * scored_N
    nll_N = lse_N - logit_N
    uniform_N = lse_N - logits_NV.mean(1) * scored_N
    smoothing = terms.label_smoothing
    each_N = (1 - smoothing) * nll_N + smoothing * uniform_N + terms.z_loss * lse_N**2
    loss = (wide.token_weights_N * each_N).sum()
    gradients = torch.autograd.grad(loss, factors(wide))
    return Scored(loss.detach(), nll_N.detach(), lse_N.detach()), gradients


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest distance, against the largest entry expected."""
    scale = expected.abs().max().clamp(min=1e-30)
    return float((found.double() - expected).abs().max() / scale)
