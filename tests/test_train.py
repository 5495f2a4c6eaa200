from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException, InstantiationException
from omegaconf.errors import InterpolationResolutionError

import train
from windtunnel import catalogue, config
from windtunnel.folder import Incomplete

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
        (["+recipe=quickstrt"], "Available options in 'recipe'"),
        (["optim=admaw"], "Available options in 'optim'"),
        (["optm=adamw"], "did you mean optim?"),
        (["model.widht=64"], "did you mean width?"),
        (["+recip=quickstart"], "did you mean recipe?"),
        (["+model.widht=64"], "model.widht: windtunnel.model.gpt.GPT takes no such setting"),
        (["model.width=65"], "model.width: expected a multiple of model.head_size"),
        (["data=text"], "data.path: expected a value"),
        (["budget.tokens=10"], "budget.tokens: expected at least one batch"),
        (["model.width=64,128"], "add --multirun"),
    ],
)
def test_a_bad_command_is_refused_in_a_few_words(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = command(*arguments, f"paths.outputs={tmp_path}/outputs")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("record.json"))


# ---------------------------------------------------------------------------------------- reports


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


BAD = ValueError("model.width: expected 64, got 65")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BAD, 2, f"{BAD}\n"),
        (wrapped(InstantiationException("Error in call"), BAD), 2, f"{BAD}\n"),
        (wrapped(InterpolationResolutionError("while resolving"), BAD), 2, f"{BAD}\n"),
        (ConfigCompositionException("no such"), 2, "no such\n"),
        (Incomplete("w64 is missing"), 1, "w64 is missing\n"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on: python train.py a=1\n"),
    ],
)
def test_an_error_ends_with_its_message_and_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, train.reported(["a=1"]):
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err == said


def test_a_fault_in_the_code_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), train.reported([]):
        raise ZeroDivisionError


def test_a_trace_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDTUNNEL_TRACE", "1")
    with pytest.raises(ValueError, match="expected 64"), train.reported([]):
        raise BAD
