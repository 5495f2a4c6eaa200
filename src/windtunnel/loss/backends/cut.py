"""Cut cross-entropy, ours: exact, and never a tensor [N, V].

Values and gradients are made in one forward operation, so that logits are computed once; the
backward pass multiplies the gradients by that of the loss. On a CPU the work is the C++ kernel's
where it can be (`cut_kernel`), else plain torch's (`cut_blocks`): one meaning.

As one operation of torch it stays whole under `torch.compile`. A second derivative does not exist.

Axes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from windtunnel.loss.backends.cut_blocks import cut_in_blocks, empty_work
from windtunnel.loss.backends.cut_kernel import can_score, cut_in_kernel
from windtunnel.loss.backends.scored import Problem, Scored, Terms, total

EXACT = "cce_exact"


def cut(problem: Problem, terms: Terms, preset: str) -> Scored:
    """Every term; on a CPU exact, so only the exact preset.

    Raises:
        ValueError: this device has no kernel, or not for the preset.
    """
    device = problem.hidden_ND.device.type
    if device == "cpu" and preset != EXACT:
        raise ValueError(
            f"loss.preset must be {EXACT} on a CPU, got {preset}: gradients are filtered only on a "
            f"GPU; take loss.preset={EXACT}"
        )
    if device != "cpu" and (device != "cuda" or find_spec("triton") is None):
        raise ValueError(
            f"loss.backend=cut needs a CPU, or a CUDA device with the package triton, got {device}"
            f"{'' if device != 'cuda' else ' without it'}: pip install triton, or take "
            "loss.backend=torch"
        )
    factors = (problem.hidden_ND, problem.weight_VD, problem.bias_V)
    needs_gradient = torch.is_grad_enabled() and any(
        factor is not None and factor.requires_grad for factor in factors
    )
    loss, nll_N, lse_N = cut_operation(
        *problem, terms.label_smoothing, terms.z_loss, preset, needs_gradient
    )[:3]
    return Scored(loss, nll_N.detach(), lse_N.detach())


@torch.library.custom_op("windtunnel::cut_cross_entropy", mutates_args=())
def cut_operation(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    softcap: float | None,
    targets_N: Tensor,
    token_weights_N: Tensor,
    label_smoothing: float,
    z_loss: float,
    preset: str,
    needs_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """loss [], nll [N], lse [N], and the loss's gradients, empty unless wanted."""
    problem = Problem(hidden_ND, weight_VD, bias_V, softcap, targets_N, token_weights_N)
    terms = Terms(label_smoothing, z_loss)
    if hidden_ND.device.type == "cuda":
        from windtunnel.loss.backends.cut_triton import cut_in_triton

        done = cut_in_triton(problem, terms, preset, needs_gradient=needs_gradient)
    elif can_score(problem, terms):
        done = cut_in_kernel(problem, terms, needs_gradient=needs_gradient)
    else:
        done = cut_in_blocks(problem, terms, needs_gradient=needs_gradient)
    nll_N, lse_N, mean_logit_N, d_hidden_ND, d_weight_VD, d_bias_V = done
    loss = total(terms, token_weights_N.to(nll_N.dtype), nll_N, lse_N, mean_logit_N)
    return loss, nll_N, lse_N, d_hidden_ND, d_weight_VD, d_bias_V


@cut_operation.register_fake
def shapes(*inputs: Any) -> tuple[Tensor, ...]:
    """What the operation returns, without its values."""
    work = empty_work(Problem(*inputs[:6]), needs_gradient=inputs[-1])
    return work.nll_N.new_empty(()), work.nll_N, work.lse_N, *work[3:]


def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keeps the gradients for the backward pass."""
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[3:])
    bias_V = inputs[2]
    ctx.bias_dtype = None if bias_V is None else bias_V.dtype


def scale(ctx: Any, d_loss: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    """The gradients times that of the loss; as they are where it is 1 and nothing is traced."""
    if d_loss is None:
        return (None,) * 10
    is_traced = torch.compiler.is_compiling() or type(d_loss) is not Tensor
    is_one = not is_traced and d_loss.device.type == "cpu" and d_loss.item() == 1
    d_hidden_ND, d_weight_VD, d_bias_V = (
        kept if is_one else kept * d_loss for kept in ctx.saved_tensors
    )
    d_bias_V = None if ctx.bias_dtype is None else d_bias_V.to(ctx.bias_dtype)
    return d_hidden_ND, d_weight_VD, d_bias_V, *[None] * 7


cut_operation.register_autograd(scale, setup_context=keep)
