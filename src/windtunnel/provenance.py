"""Where a result came from: versions of what computed it, and the state of its source code."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "windtunnel", "torch", "lightning", "hydra-core", "omegaconf", "numpy", "scipy", "datasets",
    "tokenizers", "torchmetrics", "wandb",
)  # fmt: skip
GIT_SECONDS = 10


def versions() -> dict[str, str]:
    """Versions of Python, the platform and every installed package that can change a number."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(path: Path) -> dict[str, Any]:
    """Commit of the repository that tracks the file `path`, and whether it has uncommitted changes.

    Both are None where git, a commit or a repository that tracks the file is missing: a package
    installed inside someone else's repository must not claim its commit.
    """
    unknown = {"commit": None, "dirty": None}
    if _git(path.parent, "ls-files", "--error-unmatch", path.name) is None:
        return unknown
    commit = _git(path.parent, "rev-parse", "--verify", "HEAD")
    changes = _git(path.parent, "status", "--porcelain")
    if commit is None or changes is None:
        return unknown
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder, capture_output=True, text=True, timeout=GIT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
