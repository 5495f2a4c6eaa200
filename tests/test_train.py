from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException, InstantiationException
from omegaconf.errors import InterpolationResolutionError

import train
from tests.made import made_record
from windtunnel import catalogue, config
from windtunnel.folder import Incomplete
from windtunnel.interfaces import Job
from windtunnel.stopping import Stopped

ROOT = Path(__file__).parents[1]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_takes_under_a_second_and_lists_recipes_and_groups() -> None:
    # The processor's time and the best of some, which other work on the machine lengthens least.
    seconds = []
    while not seconds or (min(seconds) >= 1.0 and len(seconds) < 4):
        before = processor_seconds()
        done = command("--help")
        seconds.append(processor_seconds() - before)
    assert done.returncode == 0, done.stderr
    first_words = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert first_words == [*config.register_recipes(), *catalogue.options(config.CONF)]
    assert {"quickstart", "model", "optim", "study", "model/attention"} <= set(first_words)
    assert min(seconds) < 1.0


def test_the_tab_key_completes_recipes_and_groups() -> None:
    def complete(line: str) -> list[str]:
        done = command("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
        return done.stdout.split()

    assert "optim=adamw" in complete("python train.py optim=")
    assert "+recipe=quickstart" in complete("python train.py +recipe=q")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["+recipe=quickstrt"], r"recipe: .*got quickstrt; .*did you mean quickstart\?"),
        (["optim=admaw"], r"optim: .*got admaw; .*did you mean adamw\?"),
        (["optm=adamw"], r"optm: .*did you mean optim\?"),
        (["model.widht=64"], r"model.widht: .*did you mean width\?"),
        (["+recip=quickstart"], r"recip: .*did you mean recipe\?"),
        (["+model.widht=64"], "model.widht: windtunnel.model.gpt.GPT takes no such setting"),
        (["model.width=65"], "model.width: expected a multiple of model.head_size"),
        (["data=text"], "data.path: expected a value"),
        (["budget.tokens=10"], "budget.tokens: expected at least one batch"),
        (["model.width=64,128"], "Ambiguous value for argument 'model.width=64,128'"),
        (
            ["+recipe=curriculum_decay", "sampler=null"],
            "sampler=null: the recipe chooses sampler/selection",
        ),
        (["study=ladder"], "study: expected none for a single job, got one; run the study with -m"),
        pytest.param(
            ["-m", "seed=1,2", "model.width=65"],
            "model.width: expected a multiple of model.head_",
            marks=pytest.mark.slow,
        ),
        (["-m", "model.width=64,65"], "model.width: expected a multiple of model.head_size"),
        pytest.param(
            ["-m", "logger=csv,wandb"],
            "logger=wandb: expected a job of its own",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_bad_command_is_refused_in_a_few_words_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = command(*arguments, f"paths.outputs={tmp_path}/outputs")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(said, done.stderr)
    assert len(done.stderr.splitlines()) <= 4
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"multirun.yaml"}  # Hydra's own, before it composes the jobs of a sweep


@pytest.mark.slow
def test_what_a_job_refuses_is_all_that_is_said(tmp_path: Path) -> None:
    """The corpus is only looked at once Hydra has made the job's folder."""
    missing = tmp_path / "none"
    said = f"data.path: expected a file or a folder, got {missing}, which does not exist"
    for more in ([], ["-m"], ["-m", "hydra/launcher=basic"], ["+recipe=mu_scaling"]):
        given = [*more, "data=text", f"data.path={missing}", f"paths.outputs={tmp_path}/outputs"]
        done = command(*given)
        assert done.returncode == 2
        assert done.stderr == f"{said}; check the path\n"
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"multirun.yaml"}


# ---------------------------------------------------------------------------------------- reports


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


def within(outer: Exception, inner: Exception) -> Exception:
    outer.__context__ = inner
    return outer


BAD = ValueError("model.width: expected 64, got 65")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BAD, 2, f"{BAD}\n"),
        (wrapped(InstantiationException("Error in call"), BAD), 2, f"{BAD}\n"),
        (wrapped(InterpolationResolutionError("while resolving"), BAD), 2, f"{BAD}\n"),
        (within(InterpolationResolutionError("while resolving"), BAD), 2, f"{BAD}\n"),
        (within(ConfigCompositionException("no such"), KeyError("x")), 2, "no such\n"),
        (ConfigCompositionException("no such"), 2, "no such\n"),
        (Incomplete("w64 is missing"), 1, "w64 is missing\n"),
        (
            NotADirectoryError(20, "Not a directory", "out/quickstart/1"),
            2,
            "out/quickstart/1: Not a directory; give another folder with paths.outputs=FOLDER, or "
            "paths.cache=FOLDER where it is that one\n",
        ),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on: python train.py a=1\n"),
        (Stopped(signal.SIGTERM), 75, "stopped; the same command goes on: python train.py a=1\n"),
        (ValueError("at https://me:secret@host"), 2, "at https://<hidden>@host\n"),
    ],
)
def test_an_error_ends_with_its_message_and_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, train.reported(["a=1"]):
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("loss", "said"), [(2.5, "finished, loss 2.5000"), (None, "diverged at")])
def test_a_job_that_ended_says_how_and_what_to_mind(
    tmp_path: Path, loss: float | None, said: str
) -> None:
    assert train.result_text(tmp_path) == ""
    job = Job("job", "rung", {"model.width": 64, "seed": 1})
    made_record(job, loss, warnings=["little text"]).save(tmp_path)
    assert train.result_text(tmp_path).startswith(f"note: little text\n{tmp_path}: {said}")


def test_a_fault_in_the_code_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), train.reported([]):
        raise ZeroDivisionError


def test_a_trace_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDTUNNEL_TRACE", "1")
    with pytest.raises(ValueError, match="expected 64"), train.reported([]):
        raise BAD
