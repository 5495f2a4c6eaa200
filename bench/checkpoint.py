"""What a checkpoint every 100 steps costs at width 256, as a share of the time of training.

Two jobs of one config: one that saves after every step gives the seconds of a save, from its
beginning to the end of the flush; one that saves at its end alone gives the seconds of a step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L

from windtunnel.config import compose
from windtunnel.run import run

RESULTS = Path(__file__).parent / "results" / "checkpoint.json"
EVERY_STEPS, WANTED_SHARE = 100, 0.03
NEVER_SECONDS = 1_000_000


def train(folder: Path, width: int, steps: int, checkpoint_seconds: float) -> dict[str, Any]:
    """Trains a job and returns its record."""
    cfg = compose(
        None,
        [
            f"model.width={width}",
            f"budget.tokens={steps * 16 * 256}",
            "schedule.warmup_tokens=0",
            "data.eval_tokens=4096",
            "trainer.compile=false",
            "trainer.progress=false",
            f"trainer.checkpoint_seconds={checkpoint_seconds}",
        ],
    )
    run(cfg, folder)
    return json.loads((folder / "record.json").read_text())


def step_seconds(width: int, steps: int) -> float:
    """Mean seconds of a step, without those of saving."""
    with tempfile.TemporaryDirectory() as folder:
        record = train(Path(folder), width, steps, NEVER_SECONDS)
    return record["tokens"] / record["steps"] / record["tokens_per_second"]


def save_seconds(width: int, saves: int) -> tuple[list[float], int]:
    """Seconds of every save but the first, and bytes of a checkpoint."""
    seconds: list[float] = []
    plain = L.Trainer.save_checkpoint

    def timed(trainer: L.Trainer, *given: Any, **more: Any) -> None:
        begin = time.perf_counter()
        plain(trainer, *given, **more)
        seconds.append(time.perf_counter() - begin)

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(L.Trainer, "save_checkpoint", timed),
    ):
        train(Path(folder), width, saves, 0.0)
        (last,) = Path(folder).glob("checkpoints/last.ckpt")
        return seconds[1:], last.stat().st_size


def main() -> None:
    """Measures both, prints the share and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    step = step_seconds(given.width, given.steps)
    saves, n_bytes = save_seconds(given.width, given.steps)
    save = statistics.median(saves)
    share = save / (EVERY_STEPS * step)
    print(
        f"a save of {n_bytes / 1e6:.1f} MB {save:.3f} s ({min(saves):.3f} .. {max(saves):.3f}), "
        f"a step {step:.3f} s: {share:.2%} of the time, wanted: below {WANTED_SHARE:.0%}"
    )
    found = {"width": given.width, "step_seconds": step, "save_seconds": saves, "bytes": n_bytes}
    RESULTS.parent.mkdir(exist_ok=True)
    wanted = {"share": share, "wanted": WANTED_SHARE, "every_steps": EVERY_STEPS}
    RESULTS.write_text(json.dumps({**found, **wanted}, indent=1) + "\n")


if __name__ == "__main__":
    main()
