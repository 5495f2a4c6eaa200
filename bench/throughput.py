"""Tokens per second of a training job against the loop that one would write by hand.

Every measurement is a process of its own; the two take turns, so that whatever else the machine
does meets both. Reported are the medians, and the median and spread of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "throughput.json"
WANTED = {64: 0.90, 128: 0.95, 256: 0.98}
WARMUP_STEPS = 10
CALIBRATION_STEPS = 30
FEWEST_STEPS = 20


def config(width: int, steps: int, overrides: list[str]) -> Any:
    """The default job at a width, for so many timed steps, compiled and timed by a clock."""
    from windtunnel.config import compose

    batch = compose(overrides=overrides).batch
    tokens = (steps + WARMUP_STEPS) * batch.sequences * batch.length
    clock = f"{{_target_: clock.Clock, _partial_: true, warmup_steps: {WARMUP_STEPS}}}"
    return compose(
        overrides=[
            "name=bench",
            "schedule.warmup_tokens=0",
            f"model.width={width}",
            f"budget.tokens={tokens}",
            "trainer.compile=true",
            "trainer.progress=false",
            f"+callbacks.clock={clock}",
            *overrides,
        ]
    )


def measure_job(width: int, steps: int, overrides: list[str]) -> dict[str, Any]:
    """Runs the job in a folder of its own; returns its speed and what it chose."""
    from windtunnel.run import run

    cfg = config(width, steps, overrides)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "job"
        run(cfg, folder)
        timed = json.loads((folder / "clock.json").read_text())
        record = json.loads((folder / "record.json").read_text())
    speed = timed["steps"] * cfg.batch.sequences * cfg.batch.length / timed["seconds"]
    return {
        "tokens_per_second": speed,
        "parameters": record["parameters"]["total"],
        "choices": record["choices"],
    }


def measure_bare(
    width: int, steps: int, overrides: list[str], compiled: bool, choices: dict[str, Any]
) -> dict[str, Any]:
    """Runs the bare loop on the same model, batch, device, threads and precision."""
    import torch
    from bare_loop import bare_loop

    from windtunnel.build import build_model

    torch.set_num_threads(choices["threads"])
    cfg = config(width, steps, overrides)
    model, _ = build_model(cfg, cfg.tokenizer.vocab_size)
    speed = bare_loop(
        model,
        cfg.tokenizer.vocab_size,
        cfg.batch.sequences,
        cfg.batch.length,
        lr=cfg.optim.lr,
        clip_norm=cfg.optim.clip_norm,
        compiled=compiled,
        autocast=choices["precision"] == "bf16-mixed",
        device=choices["accelerator"],
        warmup_steps=WARMUP_STEPS,
        steps=steps,
    )
    return {"tokens_per_second": speed, "parameters": sum(p.numel() for p in model.parameters())}


def in_process(what: str, **settings: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, "--settings", json.dumps(settings)]
    path = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(width: int, pairs: int, seconds: float, overrides: list[str]) -> dict[str, Any]:
    """Interleaved pairs at one width, each measurement about so many seconds long."""
    same: dict[str, Any] = {"width": width, "overrides": overrides}
    job = in_process("job", steps=CALIBRATION_STEPS, **same)
    rival = {**same, "choices": job["choices"]}
    trials = {
        compiled: in_process("bare", steps=CALIBRATION_STEPS, compiled=compiled, **rival)
        for compiled in (True, False)
    }
    if trials[True]["parameters"] != job["parameters"]:
        raise RuntimeError(
            f"the job trains {job['parameters']} parameters, the loop {trials[True]}"
        )
    compiled = max(trials, key=lambda key: trials[key]["tokens_per_second"])
    batch = config(width, 1, overrides).batch
    rate = trials[compiled]["tokens_per_second"] / (batch.sequences * batch.length)
    steps = max(FEWEST_STEPS, round(seconds * rate))
    settings = {"job": same, "bare": {**rival, "compiled": compiled}}
    speeds: dict[str, list[float]] = {"job": [], "bare": []}
    for pair in range(pairs):
        for what in ("job", "bare") if pair % 2 == 0 else ("bare", "job"):
            found = in_process(what, steps=steps, **settings[what])
            speeds[what].append(found["tokens_per_second"])
    ratios = [a / b for a, b in zip(speeds["job"], speeds["bare"], strict=True)]
    return {
        "width": width,
        "parameters": job["parameters"],
        "steps": steps,
        "bare_compiled": compiled,
        "precision": job["choices"]["precision"],
        "threads": job["choices"]["threads"],
        "accelerator": job["choices"]["accelerator"],
        "job_tokens_per_second": speeds["job"],
        "bare_tokens_per_second": speeds["bare"],
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "wanted": WANTED.get(width),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements as text."""
    lines = ["width  job tok/s  bare tok/s  ratio (lowest .. highest)  wanted"]
    for row in rows:
        job, bare = (statistics.median(row[f"{k}_tokens_per_second"]) for k in ("job", "bare"))
        spread = f"{row['ratio']:.3f} ({row['ratio_low']:.3f} .. {row['ratio_high']:.3f})"
        lines.append(f"{row['width']:5}  {job:9.0f}  {bare:10.0f}  {spread:>25}  {row['wanted']}")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    system = {"platform": platform.platform(), "cores": os.cpu_count(), "gpu": gpu}
    return {**system, "python": platform.python_version(), "torch": torch.__version__}


def main() -> None:
    """Measures all widths, prints the table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WANTED))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the config")
    parser.add_argument("--measure", choices=("job", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure = {"job": measure_job, "bare": measure_bare}[given.measure]
        print(json.dumps(measure(**given.settings)))
        return
    rows = []
    for width in given.widths:
        rows.append(compare(width, given.pairs, given.seconds, given.set))
        print(table(rows[-1:]), flush=True)
    print("\n" + table(rows))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"machine": machine(), "overrides": given.set, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "src"))
    main()
