"""The one command: composes a config, checks it, and does its job or its study.

Nothing heavy is imported at the top, so that `--help` and the Tab key answer at once. For the same
reason `--help` is answered here: Hydra's own copies all recipes once for every group.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from windtunnel import catalogue, config, folder, redaction, stopping

HELP = """\
Windtunnel: test a design on small models, know what it will do on a large one.

python train.py +recipe=NAME KEY=VALUE ...     one job, or the study of a recipe
python train.py -m +recipe=NAME KEY=A,B ...    one job per value
python train.py +recipe=NAME --cfg job         show the config without running it

Recipes
{recipes}

Choices, as GROUP=OPTION; any value, as KEY=VALUE
{groups}

eval "$(python train.py -sc install=bash)" completes with the Tab key (bash, zsh, fish).
--hydra-help says more.
"""

BAD_INPUT, INCOMPLETE = 2, 1
UNUSABLE = (NotADirectoryError, FileExistsError, PermissionError)  # of a folder to work in

config.register_resolvers()


@hydra.main(version_base=config.VERSION_BASE, config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Does one job in its folder; returns the held-out loss in nats per token."""
    about = HydraConfig.get()
    home = Path(about.runtime.output_dir)
    with folder.claimed(home, config.plain(cfg), config.job_digest) as record:
        if cfg.study and not cfg.role:
            raise ValueError(
                "study: expected none for a single job, got one; run the study with -m "
                "hydra/sweeper=study, or leave it out"
            )
        config.check(cfg, [] if cfg.role else about.overrides.task)
        if record is not None:
            sys.stdout.write(f"{home}: {record.outcome} already; fresh=true runs it again\n")
            return folder.finished_loss(record)
        from windtunnel import ddp
        from windtunnel.run import run

        with ddp.relaunched(__file__, about.overrides.task, home, about.runtime.cwd):
            loss = run(cfg, home)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            sys.stdout.write(result_text(home))
        return loss


def result_text(home: Path) -> str:
    """What a job that has ended leaves to say."""
    record = folder.finished(home)
    if record is None:
        return ""
    notes = "".join(f"note: {warning}\n" for warning in record.warnings)
    return f"{notes}{home}: {folder.result_line(record)}\n"


def help_text() -> str:
    """What can be run and chosen."""
    claims = catalogue.claims(config.RECIPES)
    options = catalogue.options(config.CONF)
    wide = max(map(len, [*claims, *options]), default=0)
    return HELP.format(
        recipes="\n".join(f"  {name:{wide}}  {claim}" for name, claim in claims.items()),
        groups="\n".join(f"  {name:{wide}}  {', '.join(of)}" for name, of in options.items()),
    )


@contextmanager
def reported(arguments: Sequence[str], conf: Path = config.CONF) -> Iterator[None]:
    """Ends the process with a short message where an error says what to do about it."""
    try:
        with (
            mock.patch.object(JobReturn, "return_value", _value_of_job()),
            stopping.heard(),
        ):
            yield
    except (KeyboardInterrupt, stopping.Stopped) as error:
        command = " ".join(["python", "train.py", *arguments])
        code = error.code if isinstance(error, stopping.Stopped) else stopping.INTERRUPTED
        sys.exit(_say(f"stopped; the same command goes on: {command}", int(code or 0)))
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, UNUSABLE) and cause.filename:
            words = f"{cause.filename}: {cause.strerror}; give another folder with paths.outputs="
            sys.exit(_say(words + "FOLDER, or paths.cache=FOLDER where it is that one", BAD_INPUT))
        known = (ValueError, HydraException, OmegaConfBaseException, folder.Incomplete)
        if os.environ.get("WINDTUNNEL_TRACE") == "1" or not isinstance(cause, known):
            raise
        code = INCOMPLETE if isinstance(cause, folder.Incomplete) else BAD_INPUT
        sys.exit(_say(config.explained(cause, arguments, conf=conf), code))


def _value_of_job() -> property:
    """As Hydra's own, which first writes a line with all overrides wherever a job has failed."""

    def get(job: JobReturn) -> Any:
        if job.status != JobStatus.COMPLETED:
            raise job._return_value
        return job._return_value

    return property(get, JobReturn.return_value.fset)  # type: ignore[attr-defined]


def _cause(error: BaseException) -> BaseException:
    """The error that a part or a resolver raised, out of those that Hydra wraps it in."""
    inner: BaseException | None = error
    while isinstance(inner, (HydraException, OmegaConfBaseException)):
        # OmegaConf names no cause: what a resolver raised is only the context of its error.
        said = inner.__context__ if isinstance(inner.__context__, ValueError) else None
        inner = inner.__cause__ or said
    return inner or error


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"{redaction.hidden(text.strip())}\n")
    return code


if __name__ == "__main__":
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    with reported(sys.argv[1:]):
        config.register_recipes()
        sys.argv[1:] = config.leaving_out(sys.argv[1:])
        if {"--help", "-h"} & set(sys.argv):
            sys.stdout.write(help_text())
            sys.exit()
        main()
