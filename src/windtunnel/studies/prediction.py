"""The prediction as a file: written once, with the time and a digest of what it was made from."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "prediction.json"


def digest(values: Any) -> str:
    """First 12 hex digits of the SHA-256 of values as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read_prediction(folder: Path, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """The prediction in `folder` if it was made from the same inputs, else None."""
    path = folder / NAME
    if not path.exists():
        return None
    known = json.loads(path.read_text())
    return known if known["inputs_digest"] == digest(inputs) else None


def write_prediction(
    folder: Path, inputs: dict[str, Any], predictions: dict[str, Any]
) -> dict[str, Any]:
    """Writes the prediction whole or not at all; an older one is kept under its digest."""
    path = folder / NAME
    if path.exists():
        older = json.loads(path.read_text())["inputs_digest"]
        path.rename(path.with_name(f"prediction-{older}.json"))
    values = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs_digest": digest(inputs),
        "inputs": inputs,
        **predictions,
    }
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=1))
    part.replace(path)
    return values
