"""Which code a study's jobs were run with."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import Any

import windtunnel
from windtunnel.files import write_whole
from windtunnel.provenance import git_state

FILE = "code.json"
DIGEST_LENGTH = 12


def sources_digest(folder: Path) -> str:
    """A digest of every Python file under the folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:DIGEST_LENGTH]


def current() -> dict[str, Any]:
    """The code as it stands: digest of the package's sources, git commit where there is one."""
    init = Path(windtunnel.__file__)
    return {"sources": sources_digest(init.parent), **git_state(init)}


def note(folder: Path, code: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Adds the code to the study's history where it is new.

    Returns:
        The history, and what to say where the code has changed since the study last ran.
    """
    path = folder / FILE
    history = _history(path)
    if history and history[-1]["sources"] == code["sources"]:
        return history, ""
    said = ""
    if history:
        said = (
            f"the code has changed since this study last ran (sources {history[-1]['sources']} -> "
            f"{code['sources']}); finished jobs are kept, fresh=true does all of them anew\n"
        )
    history.append({**code, "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    write_whole(path, json.dumps(history, indent=1))
    return history, said


def _history(path: Path) -> list[dict[str, Any]]:
    """What the file says; nothing where it is damaged, which is said."""
    if not path.exists():
        return []
    try:
        history = json.loads(path.read_bytes())
        return [entry for entry in history if entry["sources"]]
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path} is damaged ({error}); it is begun anew", stacklevel=2)
        return []
