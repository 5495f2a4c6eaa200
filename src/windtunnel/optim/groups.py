"""Parameter groups by role: one group for all parameters that share every hyperparameter.

Weight decay, written as in torch (a step shrinks a weight by lr * decay), in three modes:
`coupled` gives every matrix the same decay; `mup` multiplies it by what divided the learning rate,
so that lr * decay is free of width (Yang et al. 2022, arXiv 2203.03466); `independent` divides it
by the group's peak learning rate, so that a step shrinks by decay * schedule (Wortsman et al.
2023, arXiv 2309.14322, section 3.2). Vectors are never decayed.

Beside what torch's optimisers read, a group says whether its parameters are `hidden` matrices;
under the update rule `muon` these have their shape and heads in the base model as well.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from windtunnel.interfaces import Multipliers, Parametrized, Place, UpdateRule

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
    model: Parametrized,
    table: dict[str, Multipliers],
    *,
    update_rule: UpdateRule,
    lr: float,
    eps: float,
    weight_decay: float,
    weight_decay_mode: DecayMode,
) -> list[dict[str, Any]]:
    """Groups for an optimiser, each with its `params`, `lr`, `eps` and `weight_decay`.

    Raises:
        ValueError: a rate is not above 0, a decay is below 0, or a parameter is not for the rule.
    """
    check_rates(lr, weight_decay)
    places = model.roles()
    groups: dict[tuple[tuple[str, Any], ...], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        row, place = table[name], places[name]
        peak = lr * row.lr
        shrink = 0.0
        if parameter.ndim > 1:
            shrink = decay(weight_decay_mode, weight_decay, peak, row.weight_decay)
        shared = {"lr": peak, "eps": eps * row.eps, "weight_decay": shrink}
        shared["hidden"] = place.role.is_hidden
        if update_rule == "muon" and place.role.is_hidden:
            shared |= matrix_in_base(name, parameter, place)
        groups.setdefault(tuple(shared.items()), []).append(parameter)
    return [{"params": parameters, **dict(shared)} for shared, parameters in groups.items()]


def check_rates(lr: float, weight_decay: float) -> None:
    """Raises ValueError where training would stand still, or weights would be blown up."""
    if not lr > 0:
        raise ValueError(f"optim.lr must be above 0, got {lr}: give a rate such as 0.01")
    if not weight_decay >= 0:
        raise ValueError(f"optim.weight_decay must be 0 or more, got {weight_decay}: 0 is none")


def matrix_in_base(name: str, parameter: Tensor, place: Place) -> dict[str, Any]:
    """Rows, columns and heads of a hidden matrix in the base model, and its heads here.

    Raises:
        ValueError: it is no matrix, or its heads do not divide its rows.
    """
    if parameter.ndim != 2 or parameter.shape[0] % place.heads:
        raise ValueError(
            f"optim.update_rule=muon takes hidden parameters that are matrices of whole heads, got "
            f"{name} (role {place.role}) of shape {list(parameter.shape)} with {place.heads} "
            "heads: give it a role that is not hidden, or choose optim=adamw"
        )
    base = place.base
    heads = (place.heads, base.heads)
    return {"base_shape": (base.fan_out, base.fan_in), "heads": heads}
