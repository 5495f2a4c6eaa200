"""Fifty jobs ended at random by SIGKILL, SIGTERM and Ctrl-C; each goes on as if it had not been."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.faults.jobs import differences, ended, left, start
from windtunnel.config import compose, plain
from windtunnel.interfaces import Record
from windtunnel.stopping import AGAIN, INTERRUPTED

STEPS, KILLS, AFTER_A_STEP = 12, 10, 7
JOBS = {
    "quickstart": [],
    "mu_scaling": ["averaging=ema"],
    "known_entropy": ["averaging=lawa", "callbacks.averaging.every_tokens=512"],
    "loss_zoo": ["model.dropout=0.1"],
    "vq_logits": ["batch.accumulate=2"],
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# A signal that comes before the job listens ends the process as the system does.
CODES = {
    signal.SIGKILL: (-signal.SIGKILL,),
    signal.SIGTERM: (AGAIN, -signal.SIGTERM),
    signal.SIGINT: (INTERRUPTED, 1),
}

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def small(recipe: str, *more: str) -> Any:
    given = [
        "budget.evaluations=3",
        f"budget.tokens={STEPS * 4 * 64}",
        "batch.sequences=4",
        "batch.length=64",
        "data.eval_tokens=2000",
        "schedule.warmup_tokens=0",
        "trainer.compile=false",
        "trainer.progress=false",
        "trainer.log_every_n_steps=1",
        "trainer.checkpoint_seconds=0.02",
        *more,
    ]
    if "vocab_size" in compose(recipe, given).tokenizer:
        given.append("tokenizer.vocab_size=512")
    return OmegaConf.create(plain(compose(recipe, given)))


@pytest.mark.parametrize("recipe", JOBS)
def test_jobs_ended_at_random_go_on_to_the_same_bits(
    tmp_path: Path, recipe: str, record_property: Any
) -> None:
    cfg, draw = small(recipe, *JOBS[recipe]), random.Random(recipe)
    whole = tmp_path / "whole"
    assert ended(cfg, whole) == 0, Path(f"{whole}.log").read_text()
    expected = without_generations(left(whole))
    counts: Counter[str] = Counter()
    for n in range(KILLS):
        home, number = tmp_path / f"job {n}", SIGNALS[n % len(SIGNALS)]
        wait_for = draw.randrange(1, STEPS) if n < AFTER_A_STEP else 0
        code, steps = end(cfg, home, number, wait_for, draw.random())
        counts[number.name] += 1
        counts["after the first step"] += steps > 0
        assert code in CODES[number], Path(f"{home}.log").read_text()
        if code in (AGAIN, INTERRUPTED):
            # One that was still reading its data has nothing to save.
            assert steps == 0 or Record.load(home).outcome == "stopped"
            counts["saved and stopped"] += steps > 0
        assert ended(cfg, home) == 0, Path(f"{home}.log").read_text()
        assert differences(expected, without_generations(left(home))) == []
        counts["went on to the same bits"] += 1
    assert counts["after the first step"] >= AFTER_A_STEP
    record_property("counts", (recipe, dict(counts)))


def end(cfg: Any, home: Path, number: int, steps: int, pause: float) -> tuple[int, int]:
    """Sends a running job the signal after so many steps and a moment; its exit code and steps."""
    process, done = start(cfg, home)
    deadline = time.monotonic() + 600
    while done.value < steps:
        assert process.is_alive(), Path(f"{home}.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.03 * pause if steps else 0.5 * pause)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(600)
    assert process.exitcode is not None
    return process.exitcode, done.value


def without_generations(found: dict[str, Any]) -> dict[str, Any]:
    """Without the older checkpoints: how many there are depends on how fast the job was."""
    return {**found, "files": [name for name in found["files"] if "last-" not in name]}
