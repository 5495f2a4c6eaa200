"""Cross-entropy of a head that is a matrix product, by whichever backend suits the machine.

One meaning, whatever the backend: the mean over scored targets of the negative log-likelihood, with
label smoothing S and z-loss L,

    nll = lse - logit_target      loss = mean((1 - S) nll + S (lse - mean logit) + L lse^2)

The backends differ in time and memory: `logits` writes all logits, `cut` (ours) never does,
`torch` cuts tokens into chunks, `liger` and `apple` are packages for a GPU, and `auto` chooses.

Source: see `backends/scored.py`; presets: Wijmans et al. 2024, arXiv 2411.09009, table 1.

Axes: B batch, T time, N tokens, D width, V vocabulary.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from windtunnel.interfaces import IGNORE_INDEX, Batch, Head, LossOutput, Projection
from windtunnel.loss.backends.chunked import chunked
from windtunnel.loss.backends.cut import cut
from windtunnel.loss.backends.logits import logits
from windtunnel.loss.backends.packages import apple, liger
from windtunnel.loss.backends.scored import Backend, Problem, Scored, Terms
from windtunnel.loss.projection import projection

BACKENDS: dict[str, Backend] = {
    "logits": logits,
    "torch": chunked,
    "cut": cut,
    "liger": liger,
    "apple": apple,
}
PRESETS = ("cce", "cce_kahan_full_c", "cce_kahan_full_e", "cce_exact")
# Fewer logits than these cost no more than what avoids them. On two cores at width 64 `cut` took
# 0.7 to 1.4 of the time of `logits` at 1024 x 320, 0.3 to 0.5 at 1024 x 1024 (bench/losses.py).
FEWEST_LOGITS_CUT = 2**20
FEWEST_LOGITS_CHUNKED = 2**24  # 64 MiB in float32; not measured on a device
log = logging.getLogger(__name__)


class LinearCrossEntropy:
    """Mean cross-entropy in nats per token; `chosen` says which backend did it, and why."""

    def __init__(self, *, backend: str, preset: str, label_smoothing: float, z_loss: float) -> None:
        if backend not in (*BACKENDS, "auto"):
            raise ValueError(
                f"loss.backend must be one of {', '.join(BACKENDS)} or auto, got {backend}"
            )
        if preset not in PRESETS:
            raise ValueError(f"loss.preset must be one of {', '.join(PRESETS)}, got {preset}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"loss.label_smoothing must lie in 0 .. 1, 1 excluded, got {label_smoothing}"
            )
        if z_loss < 0:
            raise ValueError(f"loss.z_loss must not be below 0, got {z_loss}")
        self.backend, self.preset = backend, preset
        self.terms = Terms(label_smoothing, z_loss)
        self.chosen: tuple[str, str] | None = None

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput:
        factors = projection(head, hidden_BTD, "loss=linear_cross_entropy")
        weights_BT = mean_weights(batch.targets_BT)
        scored = self.score(factors, batch.targets_BT, weights_BT)
        terms = {}
        if self.terms.label_smoothing or self.terms.z_loss:
            terms["cross_entropy"] = (weights_BT.flatten() * scored.nll_N).sum()
        if self.terms.z_loss:
            square_N = scored.lse_N.square()
            terms["z_loss"] = self.terms.z_loss * (weights_BT.flatten() * square_N).sum()
        return LossOutput(scored.loss, scored.nll_N.view_as(batch.targets_BT), terms)

    def score(self, factors: Projection, targets_BT: Tensor, weights_BT: Tensor) -> Scored:
        """Scores targets [B, T]; the loss weighs each token by `weights_BT`, 0 where ignored."""
        hidden_BTD, weight_VD, bias_V, softcap = factors
        device = hidden_BTD.device.type
        hidden_ND = hidden_BTD.flatten(0, 1)
        if torch.is_autocast_enabled(device):
            hidden_ND = hidden_ND.to(torch.get_autocast_dtype(device))
        name = self.resolve(device, hidden_ND.shape[0] * weight_VD.shape[0])
        problem = Problem(
            hidden_ND, weight_VD, bias_V, softcap, targets_BT.flatten(), weights_BT.flatten()
        )
        with torch.autocast(device, enabled=False):
            return BACKENDS[name](problem, self.terms, self.preset)

    @torch.compiler.assume_constant_result
    def resolve(self, device: str, n_logits: int) -> str:
        """The backend's name, chosen where it is `auto`; said once."""
        name, why = self.backend, "as configured"
        if name == "auto":
            name, why = choose(device, n_logits)
        if self.chosen != (name, why):
            self.chosen = name, why
            log.info("loss.backend is %s: %s", name, why)
        return name


def choose(device: str, n_logits: int) -> tuple[str, str]:
    """The backend that suits a device and a number of logits, and why."""
    if n_logits < (FEWEST_LOGITS_CUT if device == "cpu" else FEWEST_LOGITS_CHUNKED):
        return "logits", f"{n_logits} logits cost less than what avoids them"
    if device == "cpu":
        return "cut", f"{n_logits} logits would not fit into the cache"
    return "torch", f"{n_logits} logits are many, and torch's chunks run on every device"


def mean_weights(targets_BT: Tensor) -> Tensor:
    """What each token weighs in the mean over scored targets [B, T]; all 0 where there is none."""
    is_scored_BT = targets_BT != IGNORE_INDEX
    return is_scored_BT.float() / is_scored_BT.sum().clamp(min=1)
