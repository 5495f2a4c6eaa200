"""The numbers that a recipe's README quotes, as measured: `results.json`.

They come from a study's `study.json`, or from the records of a single job's seeds, and carry the
digest of the config that gave them. What only a figure needs and paths are left out; floats keep
six digits.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.interfaces import Record

LEFT_OUT = ("band", "sizes", "files")  # what a figure draws, and paths of one machine
PER_JOB = ("job", "role", "width", "seed", "lr", "budget", "n", "loss", "seconds", "outcome")
DIGITS = 6


def of_study(folder: Path) -> dict[str, Any]:
    """What a study measured, from its folder.

    Raises:
        ValueError: the study has not concluded.
    """
    path = folder / "study.json"
    if not path.exists():
        raise ValueError(
            f"{folder} holds no study.json: expected the folder of a study that has concluded; "
            "run the study to its end and give its folder"
        )
    study = json.loads(path.read_text())
    jobs = [{k: line[k] for k in PER_JOB if k in line} for line in study.get("jobs", [])]
    first = next((r for r in _records(folder) if r.outcome == "finished"), None)
    return {
        "seeds": len({line["seed"] for line in jobs}),
        "measured": rounded({k: v for k, v in study.items() if k not in ("jobs", "code", "name")}),
        "jobs": rounded(jobs),
        **_made_with(first),
    }


def of_jobs(folders: Sequence[Path]) -> dict[str, Any]:
    """What the seeds of a single job measured: mean and standard deviation, and each seed's."""
    records = [Record.load(folder) for folder in folders]
    if records[0].task == "score":
        return _of_scores(records[0])
    lines = [
        {
            "seed": record.seed,
            "outcome": record.outcome,
            "loss": None if record.evaluation is None else record.evaluation.loss_nats,
            "bits_per_byte": None if record.evaluation is None else record.evaluation.bits_per_byte,
            "tokens": record.tokens,
            "parameters": record.parameters,
            "seconds": record.seconds,
            "tokens_per_second": record.tokens_per_second,
            "peak_memory_bytes": record.peak_memory_bytes,
        }
        for record in records
    ]
    columns = ("loss", "bits_per_byte", "seconds", "tokens_per_second", "peak_memory_bytes")
    return {
        "seeds": len({line["seed"] for line in lines}),
        "measured": rounded({name: _mean_and_sd(lines, name) for name in columns}),
        "jobs": rounded(lines),
        **_made_with(records[0]),
    }


def _of_scores(record: Record) -> dict[str, Any]:
    """What a job measured that gave documents scores."""
    scores = record.measurements["score"]
    job = {"seconds": record.seconds, "peak_memory_bytes": record.peak_memory_bytes}
    return {"seeds": 1, "measured": rounded(scores | job), **_made_with(record)}


def publish(recipe: Path, folders: Sequence[Path], about: Mapping[str, Any]) -> Path:
    """Writes `results.json` into a recipe's folder, and copies the study's figure and table there.

    Args:
        recipe: the recipe's folder.
        folders: one study's folder, or one job's folder per seed.
        about: what else to state, such as the digest of the config and the command.

    Raises:
        ValueError: the recipe's folder does not exist, or several studies were given.
    """
    if not recipe.is_dir():
        raise ValueError(f"{recipe} is no folder: give the folder of a recipe in recipes/")
    is_job = (folders[0] / "record.json").exists()
    if not is_job and len(folders) > 1:
        raise ValueError(
            f"expected one study's folder, or folders of jobs; got {len(folders)} folders, of which"
            f" {folders[0]} holds no record.json"
        )
    measured = of_jobs(folders) if is_job else of_study(folders[0])
    path = recipe / "results.json"
    path.write_text(json.dumps({**about, **measured}, indent=1) + "\n")
    figure = folders[0] / "figure.png"
    if figure.exists():
        shutil.copyfile(figure, recipe / "figure.png")
    return path


def rounded(value: Any) -> Any:
    """The same values without what nobody else can use, floats to six digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _records(folder: Path) -> list[Record]:
    return [Record.load(path.parent) for path in sorted(folder.glob("*/record.json"))]


def _made_with(record: Record | None) -> dict[str, Any]:
    """Versions, commit and data of one of the jobs."""
    if record is None:
        return {}
    return {"versions": record.versions, "git": record.git, "choices": record.choices,
            "data": rounded(record.data)}  # fmt: skip


def _mean_and_sd(lines: Sequence[Mapping[str, Any]], name: str) -> dict[str, float | None]:
    values = [float(line[name]) for line in lines if line[name] is not None]
    if not values:
        return {"mean": None, "sd": None}
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return {"mean": mean, "sd": math.sqrt(squares / (len(values) - 1)) if values[1:] else None}
