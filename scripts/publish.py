"""Writes a recipe's `results.json` from what was measured: publish.py RECIPE FOLDER [FOLDER ...].

RECIPE is a name in recipes/, FOLDER a study's folder, or one job's folder per seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from windtunnel import config, guards
from windtunnel.report.results import publish


def main(arguments: list[str] | None = None) -> int:
    """Publishes and says where; 2 where the folders are of no use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    try:
        about = described(given.recipe, given.folders[0])
        print(publish(config.RECIPES / given.recipe, given.folders, about))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def described(recipe: str, folder: Path) -> dict[str, Any]:
    """The recipe, the digest of the config that was run, and where it departs from the recipe."""
    path = folder / "config.json"
    if not path.exists():
        raise ValueError(f"{folder} holds no config.json: give the folder of a study or of a job")
    ran, committed = json.loads(path.read_text()), config.plain(config.compose(recipe))
    changed = departures(ran, committed)
    digest = config.study_digest if ran.get("study") else config.job_digest
    words = ["python train.py", f"+recipe={recipe}", *(f"{k}={v}" for k, v in changed.items())]
    return {
        "recipe": recipe,
        "digest": digest(ran),
        "recipe_digest": digest(committed),
        "overrides": changed,
        "command": " ".join(words),
    }


def departures(ran: dict[str, Any], committed: dict[str, Any]) -> dict[str, Any]:
    """Values that were run and are not the committed ones, by dotted key."""
    volatile = [key for key in config.VOLATILE if key != "study"]
    here = dict(guards.leaves(guards.without(committed, volatile)))
    there = dict(guards.leaves(guards.without(ran, volatile)))
    return {key: value for key, value in there.items() if key not in here or here[key] != value}


if __name__ == "__main__":
    raise SystemExit(main())
