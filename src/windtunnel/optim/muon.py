"""Muon for hidden matrices and AdamW for all the rest, as one optimiser.

m <- beta m + (1 - beta) g;  u = (1 - beta) g + beta m with Nesterov, else m;
W <- (1 - lr decay) W - lr scale O,  O = the orthogonal matrix near u (`newton_schulz`).

Source: Jordan et al. 2024 (github.com/KellerJordan/Muon); Liu et al. 2025, arXiv 2502.16982.
`original` scales by sqrt(max(1, rows / columns)); `match_rms_adamw` by 0.2 sqrt(max(rows, columns))
(eq. 4 of the latter), so that O's entries have the size of AdamW's update and its rate serves both.

Width. What a matrix reads has entries of size 1, so a norm of sqrt(columns); O keeps norms, so what
it writes has entries of size sqrt(columns / rows). To move activations by the same amount at every
width, lr scale has to grow as sqrt(rows / columns), that is as (m_out / m_in)^1/2, with m_out and
m_in by how much both sides grew since the base model. That factor is in the group's learning rate
already (`model.parametrization`), so the scale is taken at the base shape, where the rate was
chosen. Taken at the matrix's own shape, `match_rms_adamw` would grow with the width. At the base
shape all of it is `torch.optim.Muon`, which takes one matrix at a time and nothing but matrices.

With `per_head` each head of queries, keys and values is a matrix of its own. Its rows grew by
m_out / m_heads, with m_heads the growth of the number of heads, so m_heads^-1/2 comes on top.
Queries, keys and values are separate matrices in the model, so they are never mixed.

Of matrices that are cut over devices every device makes the whole ones orthogonal, and takes its
part: what is cut is the memory, not this work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from windtunnel.optim.newton_schulz import newton_schulz
from windtunnel.shards import local, placed, whole_from

each: Any = torch  # whose stubs leave out what works on lists of tensors

Scale = Literal["original", "match_rms_adamw"]
RMS_OF_ADAMW = 0.2  # arXiv 2502.16982, section 2.2


def scale_of(scale: Scale, rows: int, columns: int) -> float:
    """What a step multiplies the orthogonal matrix with, beside the learning rate.

    Raises:
        ValueError: there is no such scale.
    """
    match scale:
        case "original":
            return max(1.0, rows / columns) ** 0.5
        case "match_rms_adamw":
            return RMS_OF_ADAMW * max(rows, columns) ** 0.5
    raise ValueError(f"optim.build.scale must be original or match_rms_adamw, got {scale!r}")


def check_momenta(momentum: float, steps: int, betas: Sequence[float]) -> None:
    """Raises ValueError where a mean over the past is none, or nothing is made orthogonal."""
    shares = {"momentum": momentum, "betas[0]": betas[0], "betas[1]": betas[1]}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"optim.build.{name} must lie in [0, 1), got {share}: try 0.95")
    if steps < 1:
        raise ValueError(f"optim.build.steps must be 1 or more, got {steps}: 5 is usual")


def precision(device: torch.device) -> str:
    """bfloat16, as in the source, where it is multiplied natively; else float32."""
    slow = device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported()
    return "float32" if slow else "bfloat16"


class Muon(Optimizer):
    """Takes the groups of `optim.groups`; `betas` and a group's `eps` are AdamW's."""

    takes_shards = True

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        scale: Scale,
        per_head: bool,
        momentum: float,
        nesterov: bool,
        steps: int,
        betas: Sequence[float],
    ) -> None:
        check_momenta(momentum, steps, betas)
        own = [dict(group) for group in groups]
        for group in own:
            if group["hidden"]:
                if "base_shape" not in group:
                    raise ValueError(
                        "optim.update_rule must be muon for Muon, got another: with it hidden "
                        "matrices come with their shape in the base model"
                    )
                heads, base_heads = group["heads"] if per_head else (1, 1)
                rows, columns = group["base_shape"]
                group["matrices"] = heads  # that each parameter is a stack of
                group["scale"] = scale_of(scale, rows // base_heads, columns)
                group["scale"] *= (base_heads / heads) ** 0.5
        self._momentum, self._nesterov, self._steps = momentum, nesterov, steps
        # A resumed job keeps the precision. torch reads `fused` when it loads a state: AdamW's
        # counts of steps then stay in float32.
        kept = {"precision": precision(own[0]["params"][0].device), "fused": True}
        super().__init__(own, {"betas": tuple(betas), **kept})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        hidden: list[tuple[Tensor, Tensor, dict[str, Any]]] = []
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            if group["hidden"]:
                directions = self._directions(parameters)
                hidden += [(p, u, group) for p, u in zip(parameters, directions, strict=True)]
            else:
                self._adamw(parameters, group)
        self._orthogonal_step(hidden)
        return loss

    def _directions(self, parameters: list[Tensor]) -> list[Tensor]:
        """Moves the momenta on, and gives what is to be made orthogonal."""
        grads: Any = [local(p.grad) for p in parameters]
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [local(self.state[p]["momentum_buffer"]) for p in parameters]
        each._foreach_lerp_(momenta, grads, 1 - self._momentum)
        if self._nesterov:
            momenta = each._foreach_lerp(grads, momenta, self._momentum)
        return [whole_from(u, p) for u, p in zip(momenta, parameters, strict=True)]

    def _orthogonal_step(self, hidden: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """Steps along the orthogonal matrices, those of one shape together."""
        stacks: dict[tuple[int, int], list[tuple[Tensor, Tensor, dict[str, Any]]]] = {}
        for p, u, group in hidden:
            u_NRC = u.view(group["matrices"], -1, u.shape[1])
            if u_NRC.shape[1] > u_NRC.shape[2]:
                u_NRC = u_NRC.mT
            stacks.setdefault((u_NRC.shape[1], u_NRC.shape[2]), []).append((p, u_NRC, group))
        for members in stacks.values():
            whole_NRC = torch.cat([u_NRC for _, u_NRC, _ in members])
            dtype = getattr(torch, members[0][2]["precision"])
            O_NRC = newton_schulz(whole_NRC.to(dtype), self._steps)
            parts = O_NRC.split([len(u_NRC) for _, u_NRC, _ in members])
            for (p, _, group), part_NRC in zip(members, parts, strict=True):
                n_rows = p.shape[0] // group["matrices"]
                along_NRC = part_NRC if part_NRC.shape[1] == n_rows else part_NRC.mT
                own = local(placed(along_NRC.reshape(p.shape), p))
                local(p).mul_(1 - group["lr"] * group["weight_decay"])
                local(p).add_(own, alpha=-group["lr"] * group["scale"])

    def _adamw(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """torch's AdamW, on one group."""
        for p in parameters:
            if not self.state[p]:
                step = torch.zeros((), dtype=torch.float32, device=p.device)
                moments = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                self.state[p].update(step=step, **moments)
        states = [self.state[p] for p in parameters]
        grads: Any = [local(p.grad) for p in parameters]
        adamw(
            [local(p) for p in parameters],
            grads,
            [local(s["exp_avg"]) for s in states],
            [local(s["exp_avg_sq"]) for s in states],
            [],
            [s["step"] for s in states],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
