"""Where in the training loop a batch stands."""

from __future__ import annotations

from typing import Any


def ends_step(trainer: Any, batch_idx: int) -> bool:
    """Whether this micro-batch is the last of its optimiser step."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def is_logged(trainer: Any, batch_idx: int) -> bool:
    """Whether Lightning gives the metrics of this batch to the loggers."""
    return ends_step(trainer, batch_idx) and trainer.global_step % trainer.log_every_n_steps == 0


def evaluation_follows(trainer: Any) -> bool:
    """Whether an evaluation is due after the step that has just ended."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
