"""The training step: what Lightning's loop needs to know of a language model, and no more.

Every part arrives built; nothing here knows which model, loss or optimiser it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from windtunnel.evaluation import DomainLoss
from windtunnel.interfaces import IGNORE_INDEX, Batch, Evaluation, Loss, LossOutput
from windtunnel.shards import shard, whole


class Objective(nn.Module):
    """A model and its loss as one function of a batch: the unit that is compiled."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model: Any = model
        self.loss = loss

    def forward(self, batch: Batch) -> LossOutput:
        hidden_BTD = self.model(batch.tokens_BT, batch.documents_BT)
        return self.loss(hidden_BTD, self.model.head, batch)

    @property
    def is_compiled(self) -> bool:
        """Whether a call runs the compiler's graph."""
        return self._compiled_call_impl is not None


def share_of_targets(batch: Batch, n_devices: int, dtype: torch.dtype) -> Tensor | float:
    """What the loss of this device weighs beside the others', 1 on average, in the loss's type.

    Gradients are averaged over the devices. A loss is a mean over scored targets, and where the
    devices score unequally many, only weights in proportion give the mean over all of them.
    """
    if n_devices == 1:
        return 1.0
    own = (batch.targets_BT != IGNORE_INDEX).sum()
    total = own.clone()
    distributed.all_reduce(total)
    return (own * n_devices).to(dtype) / total.clamp(min=1)


class LanguageModelling(L.LightningModule):
    """Minimises the objective, and evaluates the plain loss on the held-out tokens.

    `lr_at(step)` is the multiplier of the peak learning rates; `evaluation` holds the outcome of
    the last evaluation.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Callable[[], Optimizer],
        lr_at: Callable[[int], float],
        metric: DomainLoss,
        clip_norm: float,
        log_every: int,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.metric = metric
        self.evaluation: Evaluation | None = None
        self._optimizer, self._lr_at = optimizer, lr_at
        self._clip_norm, self._log_every = clip_norm, log_every

    @property
    def model(self) -> nn.Module:
        """The model inside the objective."""
        return self.objective.model

    @property
    def is_logged(self) -> bool:
        """Whether this step goes to the loggers; asking them at every step would cost its speed."""
        return (self.trainer.global_step + 1) % self._log_every == 0

    def configure_model(self) -> None:
        """Cuts the model where the strategy has devices to cut it over."""
        if self.device_mesh is not None:
            shard(self.objective, self.device_mesh["data_parallel"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output = self.objective(batch)
        share = share_of_targets(batch, self.trainer.world_size, output.loss.dtype)
        if self.is_logged:
            for name, term in {"loss": output.loss, **output.terms}.items():
                self.log(f"train/{name}", (share * term).detach(), sync_dist=True)
        return share * output.loss

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self._clip_norm)
        norm = whole(norm)  # asked for by every device, whoever logs
        if self.is_logged:
            self.log("train/grad_norm", norm)

    def on_validation_model_eval(self) -> None:
        """Leaves a model without dropout as it is: switching would compile it a second time."""
        if any(isinstance(module, nn.Dropout) for module in self.modules()):
            super().on_validation_model_eval()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        # With gradients enabled the step runs the graph that training compiled already; uncompiled,
        # a loss that makes its gradients in the forward pass is spared them.
        with torch.set_grad_enabled(self.objective.is_compiled):
            output = self.objective(batch)
        self.metric.update(output.nll_BT.detach(), batch.targets_BT, batch.domains_B)

    def on_validation_epoch_end(self) -> None:
        evaluation = self.evaluation = self.metric.evaluation()
        self.metric.reset()
        self.log("eval/loss", evaluation.loss_nats)
        self.log("eval/bits_per_byte", evaluation.bits_per_byte)
        for name, domain in evaluation.domains.items():
            self.log(f"eval/{name}/loss", domain["loss_nats"])

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self._optimizer()
        schedule = {"scheduler": LambdaLR(optimizer, self._lr_at), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}
