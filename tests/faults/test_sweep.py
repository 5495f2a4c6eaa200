"""A study of thirty trainings by other launchers, of which one is killed and two diverge."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.jobs import corpus, settings

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LAUNCHERS = {"joblib": "joblib", "submitit_local": "submitit"}
KILLED = "focal-w16-s2"
DIVERGING = {"cross_entropy-lr+99.66-w16-s3", "focal-lr+99.66-w16-s3"}
STUDY = [
    "~study.variants",
    "+study.variants={cross_entropy:{},focal:{loss:focal}}",
    "study.reference=cross_entropy",
    "study.widths=[8,16,24,32]",
    "study.sweep_width=16",
    "study.target_width=64",
    "study.seeds=2",
    "study.lr_factors=[0.125,0.25,0.5,1.0,2.0,4.0,1e30]",  # 2^99.66 times the rate ends in NaN
    "tokenizer.vocab_size=260",
]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_thirty_trainings_lose_none_to_a_kill(tmp_path: Path, launcher: str) -> None:
    if importlib.util.find_spec(LAUNCHERS[launcher]) is None:
        pytest.skip(f"{LAUNCHERS[launcher]} is not installed")
    arguments = [f"hydra/launcher={launcher}", *STUDY, *settings(corpus(tmp_path / "text"))]
    for other in ("model.width=16", "tokenizer=bytes"):  # the study sets one, the recipe the other
        arguments.remove(other)
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        study = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), "+recipe=loss_zoo", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        os.kill(process_of(tmp_path, study), signal.SIGKILL)
        code = study.wait(1800)
    said = log.read_text()
    assert code == 0, said
    assert f"{KILLED}: lost after" in said
    assert f"tried once more, since something else than they ended them: {KILLED}\n" in said
    (found,) = tmp_path.glob("outputs/loss_zoo/*/study.json")
    values = json.loads(found.read_text())
    jobs = {row["job"]: row for row in values["jobs"]}
    assert (len(jobs), values["missing"]) == (30, [])
    assert {name for name, row in jobs.items() if row["loss"] is None} == DIVERGING
    assert all(f"{name}: diverged" in said for name in DIVERGING)
    shown = (found.parent / "table.txt").read_text()
    lost_of_trials = re.findall(r"^(cross_entropy|focal) .* (\d) +(\d)$", shown, re.MULTILINE)
    assert lost_of_trials == [("cross_entropy", "1", "7"), ("focal", "1", "7")]


def process_of(home: Path, study: subprocess.Popen[bytes]) -> int:
    """The process that trains the job to be killed, as soon as it tells how far it is."""
    deadline = time.monotonic() + 900
    while True:
        for job in home.glob(f"outputs/loss_zoo/*/{KILLED}"):
            if (job / "progress.json").exists():
                return int((job / ".lock").read_text().split()[1])
        assert study.poll() is None, (home / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
