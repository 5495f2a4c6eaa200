from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from windtunnel import provenance
from windtunnel.provenance import git_state, versions

UNKNOWN = {"commit": None, "dirty": None}


def git(folder: Path, *arguments: str) -> None:
    name = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    path = tmp_path / "code.py"
    path.write_text("a = 1\n")
    return path


def test_versions_are_plain_and_name_torch() -> None:
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["python"].startswith("3.")
    assert json.loads(json.dumps(found)) == found


def test_commit_and_changes(repository: Path) -> None:
    assert git_state(repository) == UNKNOWN  # not tracked
    git(repository.parent, "add", ".")
    assert git_state(repository) == UNKNOWN  # no commit yet
    git(repository.parent, "commit", "-q", "-m", "first")
    state = git_state(repository)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    repository.write_text("a = 2\n")
    assert git_state(repository) == {"commit": state["commit"], "dirty": True}


def test_someone_elses_repository_is_not_claimed(repository: Path) -> None:
    git(repository.parent, "add", ".")
    git(repository.parent, "commit", "-q", "-m", "first")
    installed = repository.parent / "site-packages" / "windtunnel.py"
    installed.parent.mkdir()
    installed.touch()
    assert git_state(installed) == UNKNOWN


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "code.py"
    path.touch()
    assert git_state(path) == UNKNOWN
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(path) == UNKNOWN


def test_missing_packages_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    assert set(versions()) == {"python", "platform", "torch"}
