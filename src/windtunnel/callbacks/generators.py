"""Where the global random generators stand, in plain types, for a checkpoint.

What draws from them is little, dropout above all: our own parts have generators of their own.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def state() -> dict[str, Any]:
    """The state of the generators of Python, numpy, torch and every GPU."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002
    version, numbers, gauss = random.getstate()
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, [int(word) for word in words], *rest],  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore(drawn: dict[str, Any]) -> None:
    """Lets the generators go on from such a state."""
    version, numbers, gauss = drawn["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, words, *rest = drawn["numpy"]
    np.random.set_state((kind, np.array(words, np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(drawn["torch"])
    if len(drawn["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(drawn["cuda"])
