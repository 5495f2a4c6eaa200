"""Training speed, in tokens per second and as a share of what the hardware can do at most.

MFU = tokens per second * FLOPs per token / (devices * peak FLOPs per second), FLOPs counted as
`palm`. Source: Chowdhery et al. 2022, arXiv 2204.02311, appendix B. Timed are the steps after the
first few, without evaluations, without checkpoints and without the step after each of these.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Any

import lightning as L
import torch

from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.steps import ends_step, is_logged

log = logging.getLogger(__name__)

# Dense peak in FLOPs per second by device name and by what the matrix products are computed in.
# NVIDIA states some peaks with sparsity: "/ 2" takes it out. A device stands here once a page was
# found that gives the figures of its datasheet:
# [1] archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html
# [2] glennklockwood.com/garden/processors/h100, which says that an H200 computes as an H100 SXM
# [3] glennklockwood.com/garden/processors/B200, an HGX B200 at 1000 W
# [4] glennklockwood.com/garden/processors/A100
# [5] mullet.se/product.html?product_id=355414
# [6] developer.nvidia.com/programming-tensor-cores-cuda-9-0
# [7] cvw.cac.cornell.edu/gpu-architecture/gpu-example-tesla-v100/tesla
# [8] geektopia.es, 13 September 2018, on NVIDIA's announcement of the T4
PEAKS: tuple[tuple[str, dict[str, float]], ...] = (
    (r"\bB200", {"16": 4500e12 / 2}),  # [3]
    (r"\bH200$", {"16": 1979e12 / 2, "tf32": 989e12 / 2, "32": 67e12}),  # [1] and [2]
    (r"\bH100 PCIe", {"16": 1513e12 / 2, "tf32": 756e12 / 2, "32": 51e12}),  # [1]
    (r"\bH100 80GB HBM3", {"16": 1979e12 / 2, "tf32": 989e12 / 2, "32": 67e12}),  # [1], SXM
    (r"\bA100\b", {"16": 312e12, "tf32": 156e12, "32": 19.5e12}),  # [4]
    (r"\bL40S", {"16": 362.05e12, "tf32": 183e12, "32": 91.6e12}),  # [5]
    (r"\bV100-SXM2", {"fp16": 125e12, "32": 15.7e12}),  # [6], fp32 [7]
    (r"\bTesla T4", {"fp16": 65e12, "32": 8.1e12}),  # [8]
)


def arithmetic(precision: str, matmul_precision: str) -> tuple[str, ...]:
    """Columns of `PEAKS` that a precision of Lightning's is computed in, the first known counts."""
    if precision.startswith("bf16"):
        return ("16",)
    if precision.startswith("16"):
        return ("16", "fp16")
    if precision.startswith("32"):
        return ("32",) if matmul_precision == "highest" else ("tf32",)
    return ()


def peak_flops_per_second(device: str, precision: str, matmul_precision: str) -> float | None:
    """Dense peak of one device, or None where it is not in the table."""
    peaks = next((peaks for name, peaks in PEAKS if re.search(name, device)), {})
    known = (peaks[kind] for kind in arithmetic(precision, matmul_precision) if kind in peaks)
    return next(known, None)


class Meter:
    """Seconds and tokens of the steps that are timed."""

    def __init__(self, warmup_steps: int) -> None:
        self.seconds, self.tokens = 0.0, 0
        self._to_skip = warmup_steps
        self._mark: float | None = None

    def step(self, tokens: int) -> None:
        """Counts a step that ended now."""
        now = time.perf_counter()
        if self._to_skip > 0:
            self._to_skip -= 1
        elif self._mark is not None:
            self.seconds += now - self._mark
            self.tokens += tokens
        self._mark = now

    def pause(self) -> None:
        """Leaves out the time until the end of the next step."""
        self._mark = None

    @property
    def tokens_per_second(self) -> float | None:
        """Mean speed, or None before the first timed step."""
        return self.tokens / self.seconds if self.tokens else None


class Throughput(L.Callback):
    """Measures speed; logs it as `throughput/tokens_per_second` and `throughput/mfu`.

    warmup_steps: steps at the start, and after resuming, that are not timed.
    """

    def __init__(self, facts: JobFacts, *, warmup_steps: int) -> None:
        self.facts, self.meter = facts, Meter(warmup_steps)
        self.warnings: list[str] = []
        self._peak: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Mean speed over all devices, or None where no step was timed."""
        return self.meter.tokens_per_second

    @property
    def mfu(self) -> float | None:
        """Share of the hardware's peak, or None where the peak or the speed is unknown."""
        speed = self.tokens_per_second
        if speed is None or self._peak is None or "palm" not in self.facts.flops_per_token:
            return None
        return speed * self.facts.flops_per_token["palm"] / self._peak

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks up the peak of the devices; says once when a GPU is not in the table."""
        device = trainer.strategy.root_device
        if device.type != "cuda":
            return
        name, precision = torch.cuda.get_device_name(device), str(trainer.precision)
        peak = peak_flops_per_second(name, precision, torch.get_float32_matmul_precision())
        if peak is None:
            self.warnings = [f"MFU is unknown: no peak of {name} at {precision} in the table"]
            log.warning(self.warnings[0])
        else:
            self._peak = peak * trainer.world_size

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Counts the step; on a logging step logs the mean so far."""
        if not ends_step(trainer, batch_idx):
            return
        self.meter.step(self.facts.tokens_per_step)
        speed = self.tokens_per_second
        if speed is not None and is_logged(trainer, batch_idx):
            pl_module.log("throughput/tokens_per_second", speed)
            if self.mfu is not None:
                pl_module.log("throughput/mfu", self.mfu)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leaves the evaluation out."""
        self.meter.pause()

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leaves the saving out."""
        self.meter.pause()

    def state_dict(self) -> dict[str, Any]:
        """What was timed so far."""
        return {"seconds": self.meter.seconds, "tokens": self.meter.tokens}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what was timed before."""
        self.meter.seconds, self.meter.tokens = state_dict["seconds"], state_dict["tokens"]
