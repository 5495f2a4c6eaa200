"""Parameter groups by role: one group for all parameters that share every hyperparameter.

Weight decay, written as in torch (a step shrinks a weight by lr * decay), in three modes:
`coupled` gives every matrix the same decay; `mup` multiplies it by what divided the learning rate,
so that lr * decay is free of width (Yang et al. 2022, arXiv 2203.03466); `independent` divides it
by the group's peak learning rate, so that a step shrinks by decay * schedule (Wortsman et al.
2023, arXiv 2309.14322, section 3.2). Vectors are never decayed.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from windtunnel.interfaces import Multipliers

DecayMode = Literal["coupled", "mup", "independent"]


def decay(mode: DecayMode, weight_decay: float, peak_lr: float, multiplier: float) -> float:
    """The decay that a group hands to an optimiser which shrinks weights by lr * decay.

    Raises:
        ValueError: the mode is none of the three.
    """
    match mode:
        case "coupled":
            return weight_decay
        case "mup":
            return weight_decay * multiplier
        case "independent":
            return weight_decay / peak_lr
    raise ValueError(f"optim.weight_decay_mode must be coupled, mup or independent, got {mode!r}")


def parameter_groups(
    model: nn.Module,
    table: dict[str, Multipliers],
    *,
    lr: float,
    eps: float,
    weight_decay: float,
    weight_decay_mode: DecayMode,
) -> list[dict[str, Any]]:
    """Groups for an optimiser, each with its `params`, `lr`, `eps` and `weight_decay`."""
    groups: dict[tuple[float, float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        row = table[name]
        peak = lr * row.lr
        shrink = 0.0
        if parameter.ndim > 1:
            shrink = decay(weight_decay_mode, weight_decay, peak, row.weight_decay)
        groups.setdefault((peak, eps * row.eps, shrink), []).append(parameter)
    return [
        {"params": parameters, "lr": peak, "eps": small, "weight_decay": shrink}
        for (peak, small, shrink), parameters in groups.items()
    ]
