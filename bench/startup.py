"""How fast things start: `train.py --help`, and a job of a sweep once the process server is warm.

The second is the time from the record of one job to the first file of the next, so it includes the
end of the process before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "startup.json"
WANTED_SECONDS = 1.0


def train(*arguments: str) -> float:
    """Runs `train.py` and returns the seconds that took."""
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def help_seconds(repeats: int) -> list[float]:
    """Seconds of `train.py --help`, after one run that is not counted."""
    train("--help")
    return [train("--help") for _ in range(repeats)]


def start_seconds(jobs: int) -> list[float]:
    """Seconds between tiny jobs of one sweep, one at a time."""
    seeds = ",".join(str(seed + 1) for seed in range(jobs + 1))
    with tempfile.TemporaryDirectory() as folder:
        train(
            "-m",
            f"seed={seeds}",
            "name=bench",
            "schedule.warmup_tokens=0",
            "model.width=32",
            "budget.tokens=8192",
            "data.eval_tokens=2000",
            "hydra.launcher.workers=1",
            "trainer.threads=1",
            f"paths.outputs={folder}",
        )
        found = list(Path(folder).rglob("record.json"))
        times = sorted(
            ((job.parent / "config.json").stat().st_mtime, job.stat().st_mtime) for job in found
        )
    if len(times) != jobs + 1:
        raise RuntimeError(f"expected {jobs + 1} jobs with a record, found {len(times)}")
    return [start - end for (_, end), (start, _) in pairwise(times)]


def main() -> None:
    """Measures both, prints them and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    measured = {"help": help_seconds(repeats), "job on a warm server": start_seconds(repeats)}
    for name, seconds in measured.items():
        middle, spread = statistics.median(seconds), f"{min(seconds):.2f} .. {max(seconds):.2f}"
        print(f"{name:22} {middle:.2f} s ({spread}), wanted: below {WANTED_SECONDS:.2f} s")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"seconds": measured, "wanted": WANTED_SECONDS}, indent=1) + "\n")


if __name__ == "__main__":
    main()
