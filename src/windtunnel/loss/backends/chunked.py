"""torch's own chunked form, `F.linear_cross_entropy`.

Torch 2.13 sums bfloat16 inputs wrongly on a CPU: 10.56 nats for 11.15 at 4096 tokens, width 256
and 50304 entries, under every policy of accumulation. So there it gets float32.

Axes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.scored import Problem, Scored, Terms


def chunked(problem: Problem, terms: Terms, preset: str) -> Scored:
    """Plain cross-entropy, with a bias; breaks the graph of `torch.compile` in two.

    Raises:
        ValueError: a softcap, label smoothing or z-loss is asked for.
    """
    if problem.softcap is not None or terms.label_smoothing or terms.z_loss:
        raise ValueError(
            "loss.backend=torch has neither softcap nor label smoothing nor z-loss, got softcap "
            f"{problem.softcap}, {terms}: take loss.backend=cut"
        )
    nll_N: Tensor = apart(*problem[:3], problem.targets_N)  # pyright: ignore[reportCallIssue]
    loss = (problem.token_weights_N * nll_N).sum()
    return Scored(loss, nll_N.detach(), torch.zeros_like(nll_N, requires_grad=False))


@torch.compiler.disable
def apart(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor) -> Tensor:
    """Negative log-likelihood per token [N], outside of any compiled graph."""
    if hidden_ND.dtype == torch.bfloat16 and hidden_ND.device.type == "cpu":
        hidden_ND = hidden_ND.float()
    with torch.autocast(hidden_ND.device.type, enabled=False):
        nll_N = F.linear_cross_entropy(
            hidden_ND,
            weight_VD.to(hidden_ND.dtype),
            targets_N,
            linear_bias=None if bias_V is None else bias_V.to(hidden_ND.dtype),
            reduction="none",
            ignore_index=IGNORE_INDEX,
            options=nn.LinearCrossEntropyOptions(),
        )
    return nll_N if nll_N.dtype == torch.float64 else nll_N.float()
