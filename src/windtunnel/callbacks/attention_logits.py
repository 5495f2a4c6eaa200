"""The largest attention logit of every layer, whose growth comes before a divergence.

At step t, after t updates and before the next: max |q.k| * scale over all pairs of tokens of which
one may attend to the other, in the first `sequences` of the step's first micro-batch. Scores are
made for `rows` queries at a time. In the source, runs with logits above 1e4 diverged.

Source: Wortsman et al. 2023, arXiv 2309.14322, section 3.1; after Dehghani et al. 2023, arXiv
2302.05442.

Axes: B batch, H query heads, G key heads, T time, R some of the queries, K head size, D width.
"""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from windtunnel.callbacks.facts import JobFacts
from windtunnel.interfaces import Batch


class AttentionLogits(L.Callback):
    """Measures every `every` steps; logs `stability/attention_logit`, the largest of all layers.

    Leaves `attention_logits: {steps, tokens, blocks: {i: [...]}}` in the record's measurements.
    Reads the model from `pl_module.objective.model`, with `blocks`; a block whose `attention` has
    no `queries_and_keys` has no logits and is left out.
    """

    def __init__(self, facts: JobFacts, *, every: int, sequences: int, rows: int) -> None:
        for name, value in (("every", every), ("sequences", sequences), ("rows", rows)):
            if value < 1:
                raise ValueError(
                    f"callbacks.attention_logits.{name} must be 1 or more, got {value}: every=100, "
                    "sequences=4 and rows=256 are usual"
                )
        self.tokens_per_step = facts.tokens_per_step
        self.every, self.sequences, self.rows = every, sequences, rows
        self.steps: list[int] = []
        self.blocks: dict[str, list[float]] = {}
        self.largest: float | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Measures at the first micro-batch of a step whose turn it is."""
        step = trainer.global_step
        first = batch_idx % trainer.accumulate_grad_batches == 0
        if not first or step % self.every or step in self.steps:
            return
        objective: Any = pl_module.objective
        rows: Any = [None if x is None else x[: self.sequences] for x in batch]
        own = Batch(*rows)
        with trainer.precision_plugin.forward_context():
            found = largest_logits(objective.model, own, self.rows)
        if trainer.world_size > 1 and found:
            stacked = trainer.strategy.reduce(torch.stack(list(found.values())), reduce_op="max")
            found = dict(zip(found, stacked, strict=True))
        self.steps.append(step)
        for block, logit in found.items():
            self.blocks.setdefault(block, []).append(float(logit))
        self.largest = max((values[-1] for values in self.blocks.values()), default=None)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Logs the last one."""
        if self.largest is not None:
            pl_module.log("stability/attention_logit", self.largest)

    @property
    def measurements(self) -> dict[str, Any]:
        """What goes into the record."""
        tokens = [step * self.tokens_per_step for step in self.steps]
        found = {"steps": self.steps, "tokens": tokens, "blocks": self.blocks}
        return {"attention_logits": found} if self.blocks else {}

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far."""
        return {"steps": self.steps, "blocks": self.blocks, "largest": self.largest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from it."""
        for name, value in state_dict.items():
            setattr(self, name, value)


@torch.no_grad()
def largest_logits(model: Any, batch: Batch, rows: int) -> dict[str, Tensor]:
    """Largest |logit| [] of every block that has logits, by its number.

    One forward pass of the model as it is, uncompiled, with hooks before its attention layers.
    """
    found: dict[str, Tensor] = {}

    def look(name: str) -> Any:
        def before(attention: Any, inputs: tuple[Any, ...]) -> None:
            x_BTD, context = inputs
            q_BHTK, k_BGTK = attention.queries_and_keys(x_BTD, context)
            largest = largest_product(q_BHTK, k_BGTK, context.mask_B1TT, rows)
            found[name] = largest * abs(attention.score_scale)

        return before

    layers = {str(i): block.attention for i, block in enumerate(model.blocks)}
    hooks = [layer.register_forward_pre_hook(look(name)) for name, layer in layers.items()
             if hasattr(layer, "queries_and_keys")]  # fmt: skip
    try:
        if hooks:
            model(batch.tokens_BT, batch.documents_BT)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def largest_product(q_BHTK: Tensor, k_BGTK: Tensor, mask_B1TT: Tensor | None, rows: int) -> Tensor:
    """Largest |q.k| [] of a query and a key that it may look at, `rows` queries at a time."""
    k_BHTK = k_BGTK.repeat_interleave(q_BHTK.shape[1] // k_BGTK.shape[1], dim=1).float()
    length = q_BHTK.shape[-2]
    if mask_B1TT is None:
        mask_B1TT = torch.ones(length, length, dtype=torch.bool, device=q_BHTK.device).tril()
    largest = torch.zeros((), device=q_BHTK.device)
    for start in range(0, length, rows):
        own = slice(start, start + rows)
        scores_BHRT = torch.matmul(q_BHTK[..., own, :].float(), k_BHTK.transpose(-1, -2))
        seen_BHRT = scores_BHRT.abs().masked_fill(~mask_B1TT[..., own, :], 0.0)
        largest = torch.maximum(largest, seen_BHRT.max())
    return largest
