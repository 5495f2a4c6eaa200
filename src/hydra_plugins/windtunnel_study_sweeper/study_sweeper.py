"""Hydra sweeper that runs the study of the config, batch by batch, through any launcher.

A comma list on the command line runs the whole study once per point of the grid. Jobs that are
finished are not run again, so the same command goes on after whatever stopped it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """Proposes, launches, reads records, proposes again, concludes.

    Args:
        prepare: name of the function that does for a job's config what may be refused.
        conf: the folder of the config groups, against which sections and keys are checked.
        recipes: the folder of the recipes.
    """

    def __init__(self, *, prepare: str, conf: str | None, recipes: str | None) -> None:
        self.prepare = prepare
        self.conf = conf
        self.recipes = recipes

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context: HydraContext | None = hydra_context
        self.config: DictConfig | None = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from windtunnel.folder import Incomplete

        from . import _overrides

        conclusions, missing = [], []
        for point in _overrides.grid(arguments):
            try:
                conclusions.append(self._study(point))
            except Incomplete as error:
                missing.append(str(error))
        if missing:
            raise Incomplete("\n".join(missing))
        return conclusions

    def _study(self, given: list[str]) -> dict[str, Any]:
        from hydra.utils import get_method

        from . import _stages

        return _stages.run_study(
            given,
            compose=self._compose,
            launch=self._launch,
            prepare=get_method(self.prepare),
            conf=None if self.conf is None else Path(self.conf),
            recipes=None if self.recipes is None else Path(self.recipes),
        )

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.hydra_context is not None  # Hydra calls setup first
        assert self.config is not None
        loader = self.hydra_context.config_loader
        return loader.load_sweep_config(self.config, list(overrides))

    def _launch(self, batch: Sequence[Sequence[str]], index: int, folder: Path) -> list[str]:
        """Runs a batch in the study's folder; returns what went wrong."""
        from hydra.core.utils import JobStatus

        assert self.config is not None  # Hydra calls setup first
        self.config.hydra.sweep.dir = str(folder)
        results = self.launcher.launch(batch, initial_job_idx=index)
        return [str(r._return_value) for r in results if r.status != JobStatus.COMPLETED]
