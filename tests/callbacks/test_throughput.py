from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.callbacks.tiny import (
    QUIET,
    TOKENS_PER_STEP,
    TinyData,
    TinyModule,
    make_facts,
    make_trainer,
)
from windtunnel.callbacks.throughput import Meter, Throughput, peak_flops_per_second

pytestmark = QUIET
CLOCK = "windtunnel.callbacks.throughput.time.perf_counter"


@pytest.mark.parametrize(
    ("device", "precision", "matmul", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16-mixed", "highest", 312e12),
        ("NVIDIA A100 80GB PCIe", "16-mixed", "highest", 312e12),
        ("NVIDIA A100-SXM4-40GB", "32-true", "highest", 19.5e12),
        ("NVIDIA A100-SXM4-40GB", "32-true", "high", 156e12),
        ("NVIDIA H100 80GB HBM3", "bf16-true", "highest", 989.5e12),
        ("NVIDIA H100 PCIe", "bf16-mixed", "highest", 756.5e12),
        ("NVIDIA H100 NVL", "bf16-mixed", "highest", None),
        ("NVIDIA H200", "bf16-mixed", "highest", 989.5e12),
        ("NVIDIA H200 NVL", "bf16-mixed", "highest", None),
        ("NVIDIA B200", "bf16-mixed", "highest", 2.25e15),
        ("NVIDIA L4", "bf16-mixed", "highest", None),
        ("Tesla T4", "16-mixed", "highest", 65e12),
        ("Tesla T4", "bf16-mixed", "highest", None),
        ("NVIDIA L40", "bf16-mixed", "highest", None),
        ("NVIDIA GH200 480GB", "bf16-mixed", "highest", None),
        ("NVIDIA GB200", "bf16-mixed", "highest", None),
        ("NVIDIA GeForce RTX 4090", "bf16-mixed", "highest", None),
        ("NVIDIA A100-SXM4-80GB", "64-true", "highest", None),
        ("cpu", "32-true", "highest", None),
    ],
)
def test_peaks_are_known_or_unknown_and_never_guessed(
    device: str, precision: str, matmul: str, peak: float | None
) -> None:
    assert peak_flops_per_second(device, precision, matmul) == peak


def test_meter_times_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(CLOCK, lambda: now[0])
    meter = Meter(warmup_steps=2)

    def step(seconds: float) -> None:
        now[0] += seconds
        meter.step(tokens=10)

    step(100.0)  # compiles
    step(100.0)
    assert meter.tokens_per_second is None
    step(2.0)
    step(3.0)
    meter.pause()
    now[0] += 1000.0  # an evaluation
    step(50.0)  # compiles again
    step(5.0)
    assert (meter.seconds, meter.tokens) == (10.0, 30)
    assert meter.tokens_per_second == 3.0


def test_evaluations_and_saving_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(CLOCK, lambda: now[0])

    def pass_time(seconds: float) -> Any:
        def do(module: TinyModule, *_: Any) -> None:
            now[0] += seconds

        return do

    speed = Throughput(make_facts(tmp_path), warmup_steps=0)
    module = TinyModule(on_step=pass_time(1.0))
    module.on_evaluation = pass_time(1000.0)
    trainer = make_trainer([speed], enable_checkpointing=False)
    trainer.fit(module, TinyData())
    assert speed.tokens_per_second == pytest.approx(TOKENS_PER_STEP)
    assert speed.meter.tokens == (40 - 1 - 3) * TOKENS_PER_STEP
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    assert speed.meter._mark is None
    assert float(trainer.callback_metrics["throughput/tokens_per_second"]) == TOKENS_PER_STEP


def on_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    strategy = SimpleNamespace(root_device=torch.device("cuda", 0))
    return SimpleNamespace(strategy=strategy, precision="bf16-mixed", world_size=2)


def test_mfu_is_the_share_of_all_devices_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = Throughput(make_facts(tmp_path), warmup_steps=0)
    speed.on_train_start(on_gpu("NVIDIA A100-SXM4-80GB", monkeypatch), TinyModule())
    assert speed.mfu is None
    speed.meter.seconds, speed.meter.tokens = 2.0, 10**12
    assert speed.mfu == pytest.approx(0.5e12 * 96 / (2 * 312e12))
    assert speed.warnings == []


def test_unknown_gpu_gives_none_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    speed = Throughput(make_facts(tmp_path), warmup_steps=0)
    with caplog.at_level(logging.WARNING):
        speed.on_train_start(on_gpu("Abacus 9000", monkeypatch), TinyModule())
    speed.meter.seconds, speed.meter.tokens = 2.0, 10
    assert speed.mfu is None
    assert speed.warnings == ["MFU is unknown: no peak of Abacus 9000 at bf16-mixed in the table"]
    assert len(caplog.records) == 1
