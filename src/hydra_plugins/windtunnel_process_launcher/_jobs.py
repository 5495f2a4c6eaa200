"""A job as the launcher sees it: what goes to its process, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from windtunnel.folder import Incomplete, finished

SUBDIR = "hydra.sweep.subdir"


class LaunchedJob:
    """One job and how the progress line calls it; composed when it is first asked for."""

    def __init__(self, label: str, overrides: list[str], make: Callable[[], DictConfig]) -> None:
        self.label = label
        self.overrides = overrides
        self._make = make

    @cached_property
    def config(self) -> DictConfig:
        """The job's config, its folder fixed."""
        return self._make()

    @cached_property
    def folder(self) -> Path:
        """Where the job works."""
        sweep = self.config.hydra.sweep
        return (Path(sweep.dir) / sweep.subdir).absolute()


@dataclass(frozen=True)
class Outcome:
    """How a job's process ended: `value` of a finished job, `reason` of any other.

    The reason of a refused job says all there is to say; that of a failed one stands in its log. A
    lost one has said nothing, and a stopped one was asked to end, by something else than us.
    """

    status: Literal["finished", "failed", "refused", "stopped", "lost"]
    value: Any
    reason: str

    @property
    def is_lost(self) -> bool:
        """Whether something outside of the job ended it."""
        return self.status in ("lost", "stopped")


def made(
    batch: Sequence[Sequence[str]], first: int, config: DictConfig, context: HydraContext
) -> list[LaunchedJob]:
    """The jobs of a batch; the index of the first is `first`."""
    named = zip(batch, labels(batch), strict=True)
    return [
        LaunchedJob(label, list(own), partial(compose, config, context, list(own), index))
        for index, (own, label) in enumerate(named, start=first)
    ]


def retried(
    jobs: Sequence[LaunchedJob],
    run: Callable[[Sequence[LaunchedJob]], Sequence[Outcome]],
    say: Callable[[str], None],
) -> list[Outcome]:
    """How jobs ended that are run once, and once more where they were lost."""
    outcomes = list(run(jobs))
    lost = [index for index, outcome in enumerate(outcomes) if outcome.is_lost]
    if lost:
        names = ", ".join(jobs[index].label for index in lost)
        say(f"tried once more, since something else than they ended them: {names}")
        again = run([jobs[index] for index in lost])
        for index, outcome in zip(lost, again, strict=True):
            outcomes[index] = outcome
    return outcomes


def is_named(overrides: Sequence[str]) -> bool:
    """Whether the command line names the job's folder, as studies do."""
    return any(override.startswith(f"{SUBDIR}=") for override in overrides)


def refuse_bad(jobs: Sequence[LaunchedJob], prepare: Callable[[DictConfig], Any]) -> None:
    """Refuses a sweep before its first job starts where one of them could not run.

    Raises:
        ValueError: a job's config is bad, or two jobs would work in the same folder.
    """
    owners: dict[Path, LaunchedJob] = {}
    for job in jobs:
        other = owners.setdefault(job.folder, job)
        if other is not job:
            raise ValueError(
                f"{job.label}: expected a job of its own, but it trains the same as {other.label}, "
                f"in the folder {job.folder}; leave one of them out (for several loggers in one "
                "job give logger=[csv,wandb])"
            )
    for job in jobs:
        if finished(job.folder) is None:
            prepare(job.config)


def labels(batch: Sequence[Sequence[str]]) -> list[str]:
    """A short name for each job: its folder where that was named, else what it alone sets."""
    common = set.intersection(*(set(overrides) for overrides in batch))
    return [_label(overrides, common) for overrides in batch]


def _label(overrides: Sequence[str], common: set[str]) -> str:
    for override in overrides:
        key, _, value = override.partition("=")
        if key == SUBDIR:
            return value.strip("'")
    return " ".join(override for override in overrides if override not in common) or "job"


def compose(
    master: DictConfig, context: HydraContext, overrides: list[str], index: int
) -> DictConfig:
    """Composes one job and fixes its folder."""
    config = context.config_loader.load_sweep_config(master, overrides)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(index), index
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        subdir = str(OmegaConf.select(config, "hydra.sweep.subdir"))
        home = Path(str(OmegaConf.select(config, "hydra.sweep.dir")))
        with read_write(config.hydra):
            config.hydra.sweep.dir, config.hydra.sweep.subdir = str(home), subdir
    finally:
        HydraConfig.instance().cfg = before
    return config


def name_of(task: Callable[..., Any]) -> tuple[str, str]:
    """Module and name under which another process finds the task function."""
    return task.__module__, task.__qualname__


def returned(job: LaunchedJob, outcome: Outcome) -> JobReturn:
    """What Hydra's sweepers expect of a job."""
    done = outcome.status == "finished"
    kind = ValueError if outcome.status == "refused" else Incomplete
    config = OmegaConf.masked_copy(job.config, [str(k) for k in job.config if k != "hydra"])
    return JobReturn(
        overrides=filter_overrides(job.overrides),
        cfg=config,
        hydra_cfg=OmegaConf.masked_copy(job.config, ["hydra"]),
        working_dir=str(Path.cwd()),
        status=JobStatus.COMPLETED if done else JobStatus.FAILED,
        _return_value=outcome.value if done else kind(f"{job.label}: {outcome.reason}"),
    )
