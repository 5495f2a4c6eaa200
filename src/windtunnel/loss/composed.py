"""A main loss with weighted auxiliaries: L = main + sum_i weight_i auxiliary_i.

Every part is a loss of its own, so any can be either. The head's logits are computed once for all
of them; the terms are logged by name, the auxiliaries without their weights.

Axes: B batch, T time, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from windtunnel.interfaces import Batch, Head, Loss, LossOutput

TAKEN = ("main", "loss", "grad_norm")  # names under which training logs something else


class Composed:
    """The sum of a main loss and of auxiliaries, each `{weight: ..., loss: ...}` by its name."""

    def __init__(self, *, main: Loss, auxiliaries: Mapping[str, Mapping[str, Any]]) -> None:
        for name, auxiliary in auxiliaries.items():
            _check(name, auxiliary)
        self.main = main
        self.auxiliaries = {name: (own["weight"], own["loss"]) for name, own in auxiliaries.items()}

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        shared: Any = Shared(head)
        output: LossOutput = self.main(hidden_BTD, shared, batch)
        loss, terms = output.loss, _named("main", output)
        for name, (weight, auxiliary) in self.auxiliaries.items():
            added = auxiliary(hidden_BTD, shared, batch)
            loss = loss + weight * added.loss
            terms |= _named(name, added)
        return LossOutput(loss, output.nll_BT, terms)


class Shared:
    """A head that does not repeat itself for the hidden states that it saw last."""

    def __init__(self, head: Head) -> None:
        self._head, self._seen_BTD, self._logits_BTV = head, None, None

    def __call__(self, hidden_BTD: Tensor) -> Tensor:
        if self._logits_BTV is None or self._seen_BTD is not hidden_BTD:
            self._seen_BTD, self._logits_BTV = hidden_BTD, self._head(hidden_BTD)
        return self._logits_BTV

    def __getattr__(self, name: str) -> Any:
        return getattr(self._head, name)


def _named(name: str, output: LossOutput) -> dict[str, Tensor]:
    return {name: output.loss, **{f"{name}/{key}": term for key, term in output.terms.items()}}


def _check(name: str, auxiliary: Mapping[str, Any]) -> None:
    if name in TAKEN:
        raise ValueError(
            f"loss.auxiliaries.{name}: expected a name that is not logged already, got one of "
            f"{', '.join(TAKEN)}: rename it"
        )
    if set(auxiliary) != {"weight", "loss"}:
        raise ValueError(
            f"loss.auxiliaries.{name} must hold a weight and a loss, got "
            f"{', '.join(map(str, auxiliary)) or 'nothing'}: give "
            f"+loss@loss.auxiliaries.{name}.loss=OPTION +loss.auxiliaries.{name}.weight=NUMBER"
        )
    weight = auxiliary["weight"]
    if not isinstance(weight, int | float) or not math.isfinite(weight):
        raise ValueError(f"loss.auxiliaries.{name}.weight must be a finite number, got {weight}")
