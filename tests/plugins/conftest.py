from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests/plugins/fake/app.py"


def begin(home: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts the stand-in for train.py in a folder."""
    own = {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1", **environment}
    return subprocess.Popen(
        [sys.executable, str(APP), *arguments],
        cwd=home,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the stand-in for train.py in the test's folder."""
    return partial(begin, tmp_path)


@pytest.fixture
def app(
    start: Callable[..., subprocess.Popen[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the stand-in for train.py to its end."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run
