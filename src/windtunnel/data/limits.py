"""How often a text may be seen: counted for every group, and refused or said where it is more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What happens to a group of which the budget asks for more than `epochs` passes.

    beyond: `repeat` goes on and says so in the record's warnings, `refuse` is an error.
    """

    epochs: float
    beyond: Literal["repeat", "refuse"]

    def __post_init__(self) -> None:
        if self.beyond not in ("repeat", "refuse"):
            raise ValueError(
                f"sampler.limits.beyond: expected repeat or refuse, got {self.beyond!r}; choose "
                "one of them"
            )
        if not self.epochs > 0:
            raise ValueError(
                f"sampler.limits.epochs: expected above 0, got {self.epochs}; 1 lets every text be "
                "seen once"
            )

    def warnings(self, epochs: Mapping[str, float]) -> list[str]:
        """What to say of groups that are seen so many times over.

        Raises:
            ValueError: a group is exhausted before the budget, and that is refused.
        """
        beyond = {name: n for name, n in epochs.items() if n > self.epochs}
        if beyond and self.beyond == "refuse":
            shown = ", ".join(f"{name} ({n:.2f})" for name, n in beyond.items())
            raise ValueError(
                f"sampler.limits.epochs: expected a budget that takes no text more than "
                f"{self.epochs:g} times, got more of {shown}; lower budget.tokens or the weight of "
                "these, give more text, raise the limit, or set sampler.limits.beyond=repeat"
            )
        return [f"{name} is seen {n:.1f} times over" for name, n in beyond.items()]
