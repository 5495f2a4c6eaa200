"""How fast a model's logits change along a direction of its weights, by one forward-mode product.

With a = J_z v the slope of a token's logits z along the direction v of all weights,

    spread = max over the scored tokens of (max_k a_k - min_k a_k),

to which a shift of all logits of a token adds nothing. Logits are made for `chunk` tokens at a
time, in the precision of the weights, and without dropout.

Source: Sao 2026, arXiv 2603.13552.

Axes: B batch, T time, N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.autograd.forward_ad as forward_mode
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from windtunnel.interfaces import IGNORE_INDEX, Batch


@torch.no_grad()
def logit_spread(
    model: Any, weights: Sequence[Tensor], along: Sequence[Tensor], batch: Batch, chunk: int
) -> Tensor:
    """Largest difference [] of two logits' slopes in one direction, over the scored tokens.

    Args:
        model: tokens [B, T] to hidden states [B, T, D], with a `head`.
        weights: where the slopes are taken, in the order of the model's parameters.
        along: the direction, in the same order.
        batch: what is read.
        chunk: tokens whose logits are held at a time.
    """
    training = model.training
    model.eval()
    device = batch.tokens_BT.device
    # Torch's fused attention kernels have no forward mode.
    with forward_mode.dual_level(), sdpa_kernel(SDPBackend.MATH), exact(device):
        duals = {
            id(own): forward_mode.make_dual(w, v)
            for own, w, v in zip(model.parameters(), weights, along, strict=True)
        }
        inputs = (batch.tokens_BT, batch.documents_BT)
        hidden_BTD = functional_call(model, named(model, duals), inputs)
        hidden_ND = hidden_BTD[batch.targets_BT != IGNORE_INDEX]
        widest = torch.zeros((), device=device)
        for part_ND in hidden_ND.split(chunk) if len(hidden_ND) else ():
            logits_1NV = functional_call(model.head, named(model.head, duals), part_ND[None])
            slope_1NV = forward_mode.unpack_dual(logits_1NV).tangent
            if slope_1NV is not None:
                spread_1N = slope_1NV.amax(-1) - slope_1NV.amin(-1)
                widest = torch.maximum(widest, spread_1N.max().float())
    model.train(training)
    return widest


def exact(device: torch.device) -> Any:
    """Leaves mixed precision out."""
    return torch.autocast(device.type, enabled=False)


def named(module: nn.Module, values: dict[int, Tensor]) -> dict[str, Tensor]:
    """What stands in for a module's own parameters, by their names in it."""
    return {name: values[id(p)] for name, p in module.named_parameters()}
