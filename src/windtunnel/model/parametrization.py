"""Parametrisations: how initialisation, learning rate and multipliers follow the size of a model.

With m the factor by which a side grew since the base model and r = depth / base depth:

| role | standard | muP: std, lr (Adam), forward | CompleteP, on top of muP |
|---|---|---|---|
| input, vectors | 1, 1, 1 | 1, 1, 1 | vectors in a block: lr r^(alpha-1) |
| hidden | 1, 1, 1 | m^-1/2, m^-1, 1 | lr r^(alpha-1), eps r^-alpha |
| writer | (2 depth)^-1/2, 1, 1 | (2 depth m)^-1/2, m^-1, 1 | std m^-1/2, forward r^-alpha |
| output | 1, 1, 1 | 1, 1, m^-1 | |
| score (q.k) | 1 | forward m_head^-1/2 | |

Source: Yang et al. 2022, arXiv 2203.03466, table 8 (muP; table 3 is the same without the output
multiplier, and the two are never mixed); SGD as in its table 8, Muon by the spectral condition,
Yang et al. 2023, arXiv 2310.17813; CompleteP: Dey et al. 2025, arXiv 2505.01618. Weight decay is
given so that lr * decay stays free of width (arXiv 2203.03466, appendix; see `optim.groups`).
An update `relative` to the size of its parameter (Adafactor) shrinks as a hidden matrix does, by
m^-1/2, so that a learning rate with m^-1/2 more gives Adam's m^-1; this last rule is ours.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, get_args

import torch

from windtunnel.interfaces import Base, Multipliers, Parametrized, Place, Role, Rule, UpdateRule

UNIT = Multipliers(init_std=1.0, lr=1.0, weight_decay=1.0, eps=1.0, forward=1.0)


def standard(
    role: Role,
    fan_in: int,
    fan_out: int,
    base: Base,
    depth: int,
    base_depth: int,
    update_rule: UpdateRule,
) -> Multipliers:
    """The same hyperparameters at every size; what writes to the stream starts smaller by depth."""
    return replace(UNIT, init_std=(2 * depth) ** -0.5) if role is Role.WRITER else UNIT


def mup(
    role: Role,
    fan_in: int,
    fan_out: int,
    base: Base,
    depth: int,
    base_depth: int,
    update_rule: UpdateRule,
) -> Multipliers:
    """Maximal update parametrisation in width."""
    m_in, m_out = fan_in / base.fan_in, fan_out / base.fan_out
    start = standard(role, fan_in, fan_out, base, depth, base_depth, update_rule)
    if role is Role.SCORE:
        return replace(start, forward=m_in**-0.5)
    if role.is_hidden:
        rates = {"adam": 1 / m_in, "sgd": m_out / m_in, "muon": (m_out / m_in) ** 0.5}
        lr = (rates | {"relative": m_in**-0.5})[update_rule]
        std = start.init_std * m_in**-0.5
        return Multipliers(init_std=std, lr=lr, weight_decay=1 / lr, eps=1 / m_in, forward=1.0)
    grown = m_in if role is Role.OUTPUT else m_out
    lr = grown if update_rule == "sgd" else 1.0
    forward = 1 / m_in if role is Role.OUTPUT else 1.0
    return replace(start, lr=lr, weight_decay=1 / lr, forward=forward)


def completep(
    role: Role,
    fan_in: int,
    fan_out: int,
    base: Base,
    depth: int,
    base_depth: int,
    update_rule: UpdateRule,
    *,
    alpha: float,
) -> Multipliers:
    """muP in width, and branches scaled by (depth / base depth)^-alpha, 1/2 <= alpha <= 1."""
    width = mup(role, fan_in, fan_out, base, depth, base_depth, update_rule)
    grown = depth / base_depth
    if role.is_hidden:
        return Multipliers(
            init_std=(fan_in / base.fan_in) ** -0.5,
            lr=width.lr * grown ** (alpha - 1),
            weight_decay=width.weight_decay,
            eps=width.eps * grown**-alpha,
            forward=grown**-alpha if role is Role.WRITER else 1.0,
        )
    if role is Role.VECTOR:
        return replace(width, lr=width.lr * grown ** (alpha - 1))
    return width


def multipliers(model: Parametrized, rule: Rule, update_rule: UpdateRule) -> dict[str, Multipliers]:
    """The multipliers of every place of the model, by name.

    Raises:
        ValueError: a parameter has no place, since it would be trained with a guess; or there is no
            such update rule.
    """
    if update_rule not in get_args(UpdateRule):
        raise ValueError(
            f"optim.update_rule must be one of {', '.join(get_args(UpdateRule))}, got {update_rule}"
        )
    places: dict[str, Place] = model.roles()
    named = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if missing := sorted(named - set(places)):
        raise ValueError(
            f"every parameter needs a role, but {', '.join(missing)} of {type(model).__name__} "
            "has none: return it from the roles() of the module that owns it"
        )
    depth, base_depth = model.depth, model.base_depth
    return {
        name: rule(p.role, p.fan_in, p.fan_out, p.base, depth, base_depth, update_rule)
        for name, p in places.items()
    }


def initialise(
    model: Parametrized,
    table: dict[str, Multipliers],
    *,
    init_std: float,
    generator: torch.Generator,
) -> None:
    """Draws the parameters and sets the forward multipliers, in place.

    A parameter with two names is drawn by its first, and each of its users keeps its own
    multiplier.
    """
    places: dict[str, Place] = model.roles()
    drawn: set[int] = set()
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, place in places.items():
        owner = model.get_submodule(name.rpartition(".")[0])
        if table[name].forward != 1.0:
            owner.scale = table[name].forward
        parameter = parameters.get(name)
        if parameter is None or id(parameter) in drawn:
            continue
        drawn.add(id(parameter))
        std = init_std * table[name].init_std
        with torch.no_grad():
            if place.start == "normal":
                parameter.normal_(0.0, std, generator=generator)
            else:
                parameter.fill_(1.0 if place.start == "ones" else 0.0)


def rows(model: Parametrized, table: dict[str, Multipliers]) -> list[dict[str, Any]]:
    """The table of roles and multipliers, a row per name, as it is printed and recorded."""
    return [
        {
            "name": name,
            "role": place.role.value,
            "fan_in": place.fan_in,
            "fan_out": place.fan_out,
            "start": place.start,
            **asdict(table[name]),
        }
        for name, place in model.roles().items()
    ]
