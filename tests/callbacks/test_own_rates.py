from __future__ import annotations

from pathlib import Path

from torch.optim.lr_scheduler import LambdaLR

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_trainer
from windtunnel.callbacks.own_rates import OwnRates

pytestmark = QUIET


class Scheduled(TinyModule):
    """Trains under a schedule, and notes the rate of every step."""

    def __init__(self, at) -> None:
        super().__init__()
        self.at, self.rates = at, []
        self.on_step = lambda *_: self.rates.append(self.optimizers().param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.at), "interval": "step"},
        }


def test_the_first_step_has_the_rate_of_its_own_schedule(tmp_path: Path) -> None:
    """A checkpoint of a constant schedule brings the full rate for the step to come."""
    trainer = make_trainer([], steps=4, evaluate_every=4, enable_checkpointing=False)
    trainer.fit(Scheduled(lambda step: 1.0), TinyData())
    trainer.save_checkpoint(tmp_path / "at.ckpt")

    def rates(*callbacks: OwnRates) -> list[float]:
        module = Scheduled(lambda step: 1 - step / 10)
        trainer = make_trainer(list(callbacks), steps=7, evaluate_every=7,
                               enable_checkpointing=False)  # fmt: skip
        trainer.fit(module, TinyData(), ckpt_path=tmp_path / "at.ckpt", weights_only=True)
        return module.rates

    assert rates(OwnRates()) == [0.05 * (1 - step / 10) for step in (4, 5, 6)]
    assert rates() == [0.05, *(0.05 * (1 - step / 10) for step in (5, 6))]
