"""One study from its first proposal to its conclusion, in a folder named by its content."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from windtunnel import config, guards
from windtunnel.faults import point
from windtunnel.files import write_whole
from windtunnel.folder import (
    LOCK_SECONDS,
    Incomplete,
    finished_jobs,
    locked,
    refuse_other,
)
from windtunnel.interfaces import Job, Record, Study

from . import _code, _overrides

Compose = Callable[[Sequence[str]], DictConfig]
Prepare = Callable[[DictConfig], Any]
Launch = Callable[[Sequence[Sequence[str]], int, Path], list[str]]


def run_study(
    given: Sequence[str],
    *,
    compose: Compose,
    launch: Launch,
    prepare: Prepare,
    conf: Path | None,
    recipes: Path | None,
) -> dict[str, Any]:
    """Runs, or goes on with, the study that a command line states.

    Args:
        given: the command line's overrides, without lists.
        compose: gives the config of some overrides.
        launch: runs a batch of jobs in a folder and returns what went wrong.
        prepare: does for a job's config what may be refused, before any job starts.
        conf: the folder of the config groups, None for the repository's.
        recipes: the folder of the recipes, None for the repository's.

    Raises:
        ValueError: the config states no study, or one that cannot run.
        Incomplete: jobs have failed; what can be concluded without them is written.
    """
    conf, recipes = conf or config.CONF, recipes or config.RECIPES
    cfg = compose(given)
    config.check(cfg, given, conf=conf, recipes=recipes)
    study = _build(cfg)
    folder = study_folder(cfg)
    configs = check_jobs(study.plan(), given, compose, conf)
    done = finished_jobs(folder)
    for name, values in configs.items():
        if name not in done:
            prepare(OmegaConf.create(values))
    with locked(folder, LOCK_SECONDS):
        refuse_other(folder, config.plain(cfg), config.study_digest)
        write_whole(folder / "config.json", json.dumps(config.plain(cfg), indent=1))
        history, said = _code.note(folder, _code.current())
        sys.stdout.write(f"study {cfg.name} in {folder}\n{said}")
        sys.stdout.flush()
        missing = work(study, given, folder, launch)
        about = {"name": cfg.name, "digest": config.study_digest(cfg), "code": history}
        conclusion = conclude(study, folder, missing, about)
    if missing:
        raise Incomplete(
            f"{len(missing)} jobs of the study have no result: {', '.join(missing)}; "
            f"their logs are in {folder}; the same command tries them again"
        )
    return conclusion


def check_jobs(
    jobs: Sequence[Job], given: Sequence[str], compose: Compose, conf: Path
) -> dict[str, dict[str, Any]]:
    """Checks the config of every job that is foreseen, and gives it back by the job's name.

    Composing is slow, so it is done once for all jobs that choose the same parts.

    Raises:
        ValueError: a job cannot run.
    """
    usual = config.plain(compose(given))
    composed: dict[tuple[str, ...], dict[str, Any]] = {(): usual}
    configs = {}
    for job in jobs:
        _overrides.of_job(given, job.overrides)
        parts = {k: v for k, v in job.overrides.items()
                 if guards.chooses_part(usual, k, v) or _is_choice(conf, k, v)}  # fmt: skip
        # A part may need values that only the job gives, such as the weights of a mixture.
        places = tuple(f"{key.replace('/', '.')}." for key in parts)
        inside = {k: v for k, v in job.overrides.items() if k.startswith(places)}
        choice = (*(_overrides.written(k, v) for k, v in parts.items()), *sorted(inside))
        if choice not in composed:
            own = [_overrides.written(k, v) for k, v in {**parts, **inside}.items()]
            composed[choice] = config.plain(compose([*given, *config.leaving_out(own, conf)]))
        rest = {key: value for key, value in job.overrides.items() if key not in parts}
        configs[job.name] = guards.replaced(composed[choice], rest)
        config.check_values(configs[job.name], conf)
    return configs


def _is_choice(conf: Path, key: str, value: Any) -> bool:
    """Whether a group that the study itself leaves empty has this option, or is to be left out."""
    if value is None:
        return any((conf / key).glob("*.yaml"))
    return isinstance(value, str) and (conf / key / f"{value}.yaml").is_file()


def _build(cfg: DictConfig) -> Study:
    from hydra.utils import instantiate

    if not cfg.get("study"):
        raise ValueError(
            "study: expected a study, got none; choose one (study=ladder), or run a single job "
            "without hydra/sweeper=study"
        )
    return instantiate(cfg.study, _convert_="all")


def study_folder(cfg: DictConfig) -> Path:
    """`outputs/NAME/DIGEST`, or another beside it with `fresh`."""
    home = Path(str(cfg.paths.outputs)).expanduser() / str(cfg.name)
    return (home / config.fresh_name(home, config.study_digest(cfg), cfg.fresh)).absolute()


def job_overrides(given: Sequence[str], job: Job, folder: Path) -> list[str]:
    """All overrides of one job, its folder included."""
    return [
        *_overrides.of_job(given, {**job.overrides, "role": job.role}),
        _overrides.written("hydra.sweep.dir", str(folder)),
        _overrides.written("hydra.sweep.subdir", job.name),
    ]


def work(study: Study, given: Sequence[str], folder: Path, launch: Launch) -> list[str]:
    """Launches batch after batch until the study asks for nothing new; returns the jobs missing."""
    planned = {job.name: job for job in study.plan()}
    tried: set[str] = set()
    while True:
        records = finished_jobs(folder)
        refuse_stale(planned, records)
        proposed = study.propose(records, folder)
        batch = [job for job in proposed if job.name not in records and job.name not in tried]
        if not batch:
            return sorted(tried - set(records))
        planned.update({job.name: job for job in batch})
        _write_plan(folder, list(planned.values()))
        point("study.before_batch")
        launch([job_overrides(given, job, folder) for job in in_turns(batch)], len(tried), folder)
        tried.update(job.name for job in batch)
        point("study.after_batch")


def in_turns(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, dearest first, but those of equal cost in separate rounds.

    Equal cost means the same model: what the first of them compiles, the next one finds in the
    cache, unless both start at once.
    """
    seen: Counter[float] = Counter()
    turns: list[tuple[int, float, Job]] = []
    for job in jobs:
        turns.append((seen[job.cost], -job.cost, job))
        seen[job.cost] += 1
    return [job for *_, job in sorted(turns, key=lambda turn: turn[:2])]


def refuse_stale(planned: Mapping[str, Job], records: Mapping[str, Record]) -> None:
    """Refuses finished jobs that an earlier version of the study ran with other values.

    Raises:
        ValueError: naming a job and the key that differs.
    """
    for name in planned.keys() & records.keys():
        for key, value in planned[name].overrides.items():
            ran = guards.select(records[name].config, key)
            if not isinstance(ran, Mapping | None) and json.dumps(ran) != json.dumps(value):
                raise ValueError(
                    f"{name}: expected a job with {key}={value}, but its folder holds one that ran "
                    f"with {ran}; give fresh=true for a folder of its own"
                )


def conclude(
    study: Study, folder: Path, missing: Sequence[str], about: dict[str, Any]
) -> dict[str, Any]:
    """Writes `study.json`: what the study concludes, and what is missing."""
    conclusion = {
        **about,
        "missing": list(missing),
        **study.conclude(finished_jobs(folder), folder),
    }
    write_whole(folder / "study.json", json.dumps(conclusion, indent=1))
    return conclusion


def _write_plan(folder: Path, jobs: Sequence[Job]) -> None:
    plan = [dataclasses.asdict(job) for job in jobs]
    write_whole(folder / "jobs.json", json.dumps({"jobs": plan}, indent=1))
