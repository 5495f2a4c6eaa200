"""Mixtures: which share of the sequences each domain gives, and how that changes over the budget.

A weight is a share of the tokens, which is a share of the sequences since all are equally long.
Every mixture here states its weights at some points of the budget; between them they change
linearly, and twice the same point is a jump.

Axes: K points, G groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from windtunnel.data.proportions import temperature, unimax

_ROUNDING = 1e-3  # of weights that a person wrote with a few digits


class Groups(NamedTuple):
    """What there is to mix: names, and tokens [G] that the selection leaves of each."""

    names: Sequence[str]
    n_tokens_G: ndarray


class Plan(NamedTuple):
    """Weights [K, G] at points [K] of the budget, from 0 to 1."""

    shares_K: ndarray
    weights_KG: ndarray


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """Proportional to tokens to the power `alpha`: 1 natural, 0 uniform."""

    alpha: float

    def plan(self, groups: Groups, budget: int) -> Plan:
        return _constant(temperature(groups.n_tokens_G, self.alpha))


@dataclass(frozen=True, kw_only=True)
class UniMax:
    """Uniform, but of no domain more than `epochs` times its text."""

    epochs: float

    def __post_init__(self) -> None:
        if not self.epochs > 0:
            raise ValueError(
                f"sampler.mixture.epochs: expected above 0, got {self.epochs}; 4 repeats a small "
                "domain up to four times"
            )

    def plan(self, groups: Groups, budget: int) -> Plan:
        return _constant(unimax(groups.n_tokens_G, budget, self.epochs))


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """The same proportions all along, by name; a domain that is not named gives nothing."""

    weights: Mapping[str, float]

    def plan(self, groups: Groups, budget: int) -> Plan:
        return _constant(_by_name("sampler.mixture.weights", self.weights, groups))


@dataclass(frozen=True, kw_only=True)
class Phases:
    """One mixture after the other: `phases` are mappings with `until`, a share of the budget, and
    `weights` by name. Replay is a weight that an earlier phase's domain keeps."""

    phases: Sequence[Mapping[str, Any]]

    def plan(self, groups: Groups, budget: int) -> Plan:
        ends = _numbers("sampler.mixture.phases", self.phases, "until")
        if ends[-1] != 1 or ends[0] <= 0 or sorted(set(ends)) != ends:
            raise ValueError(
                "sampler.mixture.phases: expected values of until that ascend from above 0 to 1, "
                f"got {ends}; they are shares of budget.tokens, and the last phase ends with it"
            )
        begins = [0.0, *ends[:-1]]
        weights = [
            _by_name(f"sampler.mixture.phases[{i}].weights", phase["weights"], groups)
            for i, phase in enumerate(self.phases)
        ]
        return Plan(np.stack([begins, ends], 1).ravel(), np.repeat(weights, 2, axis=0))


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """Proportions that change linearly: `points` are mappings with `at`, a share of the budget,
    and `weights` by name."""

    points: Sequence[Mapping[str, Any]]

    def plan(self, groups: Groups, budget: int) -> Plan:
        shares = _numbers("sampler.mixture.points", self.points, "at")
        if shares[0] != 0 or shares[-1] != 1 or sorted(set(shares)) != shares:
            raise ValueError(
                f"sampler.mixture.points: expected values of at that ascend from 0 to 1, got "
                f"{shares}; they are shares of budget.tokens"
            )
        weights = [
            _by_name(f"sampler.mixture.points[{i}].weights", point["weights"], groups)
            for i, point in enumerate(self.points)
        ]
        return Plan(np.array(shares), np.stack(weights))


def _constant(weights_G: ndarray) -> Plan:
    return Plan(np.array([0.0, 1.0]), np.stack([weights_G, weights_G]))


def _numbers(setting: str, parts: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    for part in parts:
        if set(part) != {key, "weights"}:
            raise ValueError(
                f"{setting}: expected mappings with {key} and weights, got {dict(part)}; write "
                f"{{{key}: 0.5, weights: {{NAME: 1.0}}}}"
            )
    if not parts:
        raise ValueError(f"{setting}: expected at least one mapping, got none; give one")
    return [float(part[key]) for part in parts]


def _by_name(setting: str, weights: Mapping[str, float], groups: Groups) -> ndarray:
    """Weights [G] with sum 1 of groups that are named."""
    unknown = sorted(set(weights) - set(groups.names))
    if unknown:
        raise ValueError(
            f"{setting}: expected names of domains, got {', '.join(unknown)}; the domains are "
            f"{', '.join(groups.names)}"
        )
    weights_G = np.array([float(weights.get(name, 0.0)) for name in groups.names])
    if not (weights_G >= 0).all() or abs(weights_G.sum() - 1) > _ROUNDING:
        raise ValueError(
            f"{setting}: expected weights from 0 with sum 1, got {dict(weights)} with sum "
            f"{weights_G.sum():g}; scale them"
        )
    empty = [
        n
        for n, w, t in zip(groups.names, weights_G, groups.n_tokens_G, strict=True)
        if w > 0 and not t
    ]
    if empty:
        raise ValueError(
            f"{setting}: expected weight for domains that have text to train on, got some for "
            f"{', '.join(empty)}, of which the selection leaves nothing; give weight 0, or select "
            "more"
        )
    return weights_G / weights_G.sum()
