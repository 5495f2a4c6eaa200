"""What `conf/` and `recipes/` hold, read from their files without composing anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from windtunnel import guards


def known_keys(conf: Path) -> dict[str, set[str] | None]:
    """Every top-level section with the keys it may hold; None where a constructor says which."""
    train = _load(conf / "train.yaml")
    known: dict[str, set[str] | None] = {}
    for entry in train.get("defaults", []):
        for group in entry if isinstance(entry, dict) else []:
            if not group.startswith(("override ", "hydra/")) and "/" not in group:
                known[group] = _keys_of_group(conf / group)
    for key, value in train.items():
        if key not in ("defaults", "hydra"):
            known.setdefault(key, set(value) if isinstance(value, dict) else None)
    return known


def _keys_of_group(folder: Path) -> set[str] | None:
    options = [_load(path) for path in sorted(folder.glob("*.yaml"))]
    if not options or any("_target_" in option for option in options):
        return None
    return {key for option in options for key in option if key != "defaults"}


def options(conf: Path) -> dict[str, list[str]]:
    """Every group of `conf` with the options there are."""
    found: dict[str, list[str]] = {}
    for path in sorted(conf.glob("*/**/*.yaml")):
        found.setdefault(path.parent.relative_to(conf).as_posix(), []).append(path.stem)
    return dict(sorted(found.items()))


def claims(recipes: Path) -> dict[str, str]:
    """What every recipe claims, in the comment that its file starts with."""
    found = {p.parent.name: p.read_text() for p in sorted(recipes.glob("*/recipe.yaml"))}
    first = {name: text.partition("\n")[0] for name, text in found.items()}
    return {name: line.removeprefix("# Claim:").strip("# ") for name, line in first.items()}


def default_options(chosen: Mapping[str, str], conf: Path) -> dict[str, str]:
    """The option of every group, those inside of groups included, given what a recipe chooses."""
    options: dict[str, str] = {}
    todo = [("", conf / "train.yaml")]
    while todo:
        group, path = todo.pop()
        for entry in _load(path).get("defaults", []):
            for key, option in entry.items() if isinstance(entry, dict) else []:
                inner = f"{group}/{key}".strip("/")
                if not key.startswith("override ") and option is not None:
                    options[inner] = str(chosen.get(inner, option))
                    todo.append((inner, conf / inner / f"{options[inner]}.yaml"))
    return options


def recipe_values(name: str, recipes: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a recipe pins, those it builds on included, and the group options it takes."""
    own = _load(recipes / name / "recipe.yaml")
    values: dict[str, Any] = {}
    choices: dict[str, str] = {}
    for entry in own.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            inherited, inherited_choices = recipe_values(entry.rsplit("/", 1)[-1], recipes)
            guards.merge(values, inherited)
            choices.update(inherited_choices)
        elif isinstance(entry, dict):
            for group, option in entry.items():
                choices[group.removeprefix("override ").strip().lstrip("/")] = option
    guards.merge(values, own)
    return values, choices


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    return copy.deepcopy(_read(path, path.stat().st_mtime_ns))


@cache
def _read(path: Path, mtime_ns: int) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
