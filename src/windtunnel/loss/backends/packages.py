"""Backends of two packages from the registry, for a GPU: imported only when they are chosen.

Source: liger-kernel, Hsu et al. 2024, arXiv 2410.10989; cut-cross-entropy, Wijmans et al. 2024,
arXiv 2411.09009.

Axes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.scored import Problem, Scored, Terms

FILTERS: dict[str, str | None] = {"cce": "auto", "cce_exact": None}


def imported(module: str, package: str, backend: str, device: torch.device) -> Any:
    """A package's module.

    Raises:
        ValueError: this is no GPU, or the package is not installed.
    """
    if device.type != "cuda":
        raise ValueError(
            f"loss.backend={backend} needs a GPU, and the job runs on {device.type}: take "
            "loss.backend=cut"
        )
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"loss.backend={backend} needs the package {package}, which is not installed "
            f"({error}): run pip install {package}, or take loss.backend=cut"
        ) from None


def is_uniform(problem: Problem) -> bool:
    """Whether all scored tokens weigh the same, which is all that a mean can do."""
    weights = problem.token_weights_N[problem.targets_N != IGNORE_INDEX]
    return bool((weights == weights[:1]).all())


def liger(problem: Problem, terms: Terms, preset: str) -> Scored:
    """Every term, tokens weighed alike; its values per token take a second pass over the logits.

    Raises:
        ValueError: the package or a GPU is missing, or tokens have weights of their own.
    """
    module = imported(
        "liger_kernel.transformers.functional", "liger-kernel", "liger", problem.hidden_ND.device
    )
    if not is_uniform(problem):
        raise ValueError("loss.backend=liger weighs tokens alike: take loss.backend=cut for others")
    shared: dict[str, Any] = {
        "bias": problem.bias_V,
        "ignore_index": IGNORE_INDEX,
        "softcap": problem.softcap,
    }
    factors = (problem.hidden_ND, problem.weight_VD, problem.targets_N)
    score = module.liger_fused_linear_cross_entropy
    loss = score(
        *factors,
        **shared,
        label_smoothing=terms.label_smoothing,
        lse_square_scale=terms.z_loss,
        reduction="mean",
    )
    with torch.no_grad():
        nll_N = score(*factors, **shared, reduction="none").float()
    is_scored = problem.token_weights_N.sum().clamp(max=1)
    return Scored(torch.nan_to_num(loss) * is_scored, nll_N, torch.zeros_like(nll_N))


def apple(problem: Problem, terms: Terms, preset: str) -> Scored:
    """Plain cross-entropy with a softcap; filtered (`cce`) or not (`cce_exact`).

    Raises:
        ValueError: the package or a GPU is missing; a bias, another term or another preset is
            asked for.
    """
    module = imported("cut_cross_entropy", "cut-cross-entropy", "apple", problem.hidden_ND.device)
    if problem.bias_V is not None or terms.label_smoothing or terms.z_loss:
        raise ValueError(
            f"loss.backend=apple has neither bias nor label smoothing nor z-loss, got {terms}: "
            "take loss.backend=cut"
        )
    if preset not in FILTERS:
        raise ValueError(
            f"loss.backend=apple knows the presets {', '.join(FILTERS)}, got {preset}: take one "
            "of them or loss.backend=cut"
        )
    nll_N = module.linear_cross_entropy(
        problem.hidden_ND,
        problem.weight_VD.to(problem.hidden_ND.dtype),
        problem.targets_N,
        ignore_index=IGNORE_INDEX,
        softcap=problem.softcap,
        reduction="none",
        filter_eps=FILTERS[preset],
    ).float()
    loss = (problem.token_weights_N * nll_N).sum()
    return Scored(loss, nll_N.detach(), torch.zeros_like(nll_N, requires_grad=False))
