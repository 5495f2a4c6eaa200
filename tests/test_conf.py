"""What stands in `conf/` and `recipes/` against the code that takes it; each rule is broken once.

A constructor of ours takes from YAML what is keyword-only, and at run time what is positional. One
that has nothing keyword-only takes all from YAML, unless it is a `_partial_`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from windtunnel.config import (
    CONF,
    RECIPES,
    ROOT,
    VERSION_BASE,
    register_recipes,
    register_resolvers,
)

# ------------------------------------------------------------------------------- what YAML chooses


def choices(conf: Path) -> set[str]:
    """Every choice of every group, as `group/option`."""
    found = (path.relative_to(conf).with_suffix("") for path in conf.rglob("*.yaml"))
    return {path.as_posix() for path in found if len(path.parts) > 1}


def chosen_by(defaults: list[Any], group: str) -> Iterator[str]:
    """What a defaults list chooses, as `group/option`."""
    for entry in defaults:
        pairs = entry.items() if isinstance(entry, dict) else [("", entry)]
        for key, options in pairs:
            place = re.sub(r"^(override|optional) |@.*", "", key)
            place = place[1:] if place.startswith("/") else f"{group}/{place}"
            for option in options if isinstance(options, list) else [options]:
                if option not in (None, "_self_"):
                    yield f"{place.strip('/')}/{option}".strip("/")


ARMS = ("variants", "orders", "schedules", "interventions", "trials")  # of a study


def compared(values: dict[str, Any]) -> list[str]:
    """What the designs that a recipe's study compares choose, as `group/option`."""
    study = values.get("study") or {}
    designs = [own for key in ARMS for own in (study.get(key) or {}).values()]
    return [f"{key}/{value}" for own in designs for key, value in own.items()]


UNMEASURED = "**Not measured yet.**"  # in the README of a recipe that has no results.json


def says_unmeasured(folder: Path) -> bool:
    """Whether a recipe's README owns that nobody has measured it."""
    readme = folder / "README.md"
    return readme.exists() and UNMEASURED in readme.read_text()


def used(root: Path) -> set[str]:
    """What the defaults or a measured recipe choose, and what these choose in turn."""
    found_recipes = sorted((root / "recipes").glob("*/recipe.yaml"))
    recipes = [path for path in found_recipes if not says_unmeasured(path.parent)]
    todo = [(root / "conf/train.yaml", ""), *((path, "recipe") for path in recipes)]
    found: set[str] = set()
    while todo:
        path, group = todo.pop()
        values = yaml.safe_load(path.read_text()) or {}
        for choice in [*chosen_by(values.get("defaults", []), group), *compared(values)]:
            file = root / f"conf/{choice}.yaml"
            if choice not in found and file.exists():
                found.add(choice)
                todo.append((file, choice.rpartition("/")[0]))
    return found


def unproven(root: Path) -> set[str]:
    """What the READMEs say no recipe has proven: `group=option` on a line that says so."""
    files = [root / "README.md", root / "conf/README.md"]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    named = [re.findall(r"`([\w/]+)=(\w+)`", line) for line in lines if "unproven" in line]
    return {f"{group}/{option}" for pairs in named for group, option in pairs}


def unaccounted(root: Path) -> list[str]:
    """Choices that nothing uses and no README calls unproven, and those named so wrongly."""
    have = choices(root / "conf")
    proven = used(root) & unproven(root)
    return [
        *(f"{name} is called unproven, and a measured recipe uses it" for name in sorted(proven)),
        *(f"conf/{name}.yaml is used by no recipe" for name in have - used(root) - unproven(root)),
        *(f"{name} is called unproven and is not in conf" for name in unproven(root) - have),
    ]


def test_every_choice_is_used_or_called_unproven() -> None:
    assert len(used(ROOT)) > 10
    assert "\n".join(sorted(unaccounted(ROOT))) == ""


def test_an_unused_choice_is_seen(tmp_path: Path) -> None:
    for name in (
        "conf/loss/ce",
        "conf/loss/z",
        "conf/model/gpt",
        "conf/model/norm/rms",
        "conf/x/y",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text("{}")
    (tmp_path / "conf/train.yaml").write_text("defaults: [_self_, {loss: ce}, {model: gpt}]")
    (tmp_path / "conf/model/gpt.yaml").write_text("defaults: [{norm@n: rms}, _self_]")
    (tmp_path / "recipes/r").mkdir(parents=True)
    (tmp_path / "recipes/r/recipe.yaml").write_text("defaults: [{override /x: y}, other]")
    assert used(tmp_path) == {"loss/ce", "model/gpt", "model/norm/rms", "x/y"}
    assert unaccounted(tmp_path) == ["conf/loss/z.yaml is used by no recipe"]
    (tmp_path / "recipes/v").mkdir()
    compare = "study: {variants: {plain: {}, z: {loss: z, loss.weight: 1}}}"
    (tmp_path / "recipes/v/recipe.yaml").write_text(compare)
    assert unaccounted(tmp_path) == []
    (tmp_path / "recipes/v/README.md").write_text(UNMEASURED)
    assert unaccounted(tmp_path) == ["conf/loss/z.yaml is used by no recipe"]
    (tmp_path / "recipes/v/recipe.yaml").unlink()
    (tmp_path / "README.md").write_text("| `loss=z` | unproven |")
    assert unaccounted(tmp_path) == []
    (tmp_path / "README.md").write_text("| `loss=z`, `loss=gone` | unproven |")
    assert unaccounted(tmp_path) == ["loss/gone is called unproven and is not in conf"]
    (tmp_path / "README.md").write_text("| `loss=z`, `loss=ce` | unproven |")
    said = "loss/ce is called unproven, and a measured recipe uses it"
    assert unaccounted(tmp_path) == [said]


# ------------------------------------------------------------------------- what constructors take


def targets(node: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of ours with a `_target_`, and where it stands."""
    if isinstance(node, dict):
        if str(node.get("_target_", "")).startswith("windtunnel."):
            yield at, node
        for key, value in node.items():
            yield from targets(value, f"{at}.{key}".strip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from targets(value, f"{at}.{i}")


def misfits(at: str, node: dict[str, Any]) -> list[str]:
    """How a node and the signature of its target disagree."""
    parameters = inspect.signature(get_object(node["_target_"])).parameters.values()
    named = {p.name: p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    keyword_only = {name for name, p in named.items() if p.kind is p.KEYWORD_ONLY}
    expected = keyword_only or (set() if node.get("_partial_") else set(named))
    given = {key for key in node if not re.fullmatch(r"_\w+_", key)}
    what = f"{at}: {node['_target_']}"
    return [
        *(f"{what} takes no {key}" for key in sorted(given - set(named))),
        *(f"{what} has no value for {key} in conf" for key in sorted(expected - given)),
        *(
            f"{what} has a default for {name}, which belongs into conf"
            for name, p in named.items()
            if p.default is not p.empty
        ),
    ]


@cache
def register() -> None:
    """Makes the recipes known to Hydra, once: it takes a third as long as composing."""
    register_recipes()
    register_resolvers()


def composed(*overrides: str) -> dict[str, Any]:
    register()
    with initialize_config_dir(str(CONF), version_base=VERSION_BASE):
        config = compose("train", overrides=list(overrides))
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


CHOICES = sorted(name for name in choices(CONF) if not name.startswith("hydra/"))
NAMES = sorted(path.name for path in RECIPES.glob("*") if path.is_dir())


def above(choice: str) -> list[str]:
    """What must be chosen before, for a group that stands inside another's option."""
    parent, _, name = choice.rpartition("/")[0].rpartition("/")
    for path in sorted((CONF / parent).glob("*.yaml")) if parent else []:
        defaults = yaml.safe_load(path.read_text()).get("defaults", [])
        if any(name in entry for entry in defaults if isinstance(entry, dict)):
            return [*above(f"{parent}/{path.stem}"), f"{parent}={path.stem}"]
    return []


@pytest.mark.parametrize("choice", CHOICES)
def test_a_constructor_takes_what_yaml_gives_and_no_more(choice: str) -> None:
    found = list(targets(composed(*above(choice), "=".join(choice.rsplit("/", 1)))))
    assert len(found) > 5
    assert "\n".join(said for at, node in found for said in misfits(at, node)) == ""


@pytest.mark.parametrize("recipe", NAMES)
def test_a_recipe_gives_what_constructors_take(recipe: str) -> None:
    found = list(targets(composed(f"+recipe={recipe}")))
    assert len(found) > 5
    assert "\n".join(said for at, node in found for said in misfits(at, node)) == ""


class Part:
    def __init__(self, at_run_time: int, *, width: int, depth: int = 1) -> None: ...


class Plain:
    def __init__(self, width: int) -> None: ...


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"width": 1, "depth": 2}, ["has a default for depth, which belongs into conf"]),
        ({"depth": 1}, ["has no value for width in conf", "has a default for depth"]),
        ({"width": 1, "depth": 1, "size": 2}, ["takes no size", "has a default for depth"]),
    ],
)
def test_a_misfit_is_seen(
    monkeypatch: pytest.MonkeyPatch, node: dict[str, Any], said: list[str]
) -> None:
    monkeypatch.setattr(f"{__name__}.get_object", {"windtunnel.x": Part}.get)
    found = misfits("part", {"_target_": "windtunnel.x", **node})
    assert len(found) == len(said)
    assert all(want in got for want, got in zip(said, found, strict=True))


def test_without_keywords_all_is_from_yaml_unless_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.get_object", {"windtunnel.x": Plain}.get)
    node: dict[str, Any] = {"_target_": "windtunnel.x"}
    assert misfits("part", node) == ["part: windtunnel.x has no value for width in conf"]
    assert misfits("part", {**node, "_partial_": True}) == []
    assert misfits("part", {**node, "width": 3}) == []


def test_targets_are_found_at_any_depth() -> None:
    node = {"a": {"_target_": "windtunnel.x", "b": [{"_target_": "windtunnel.y"}]}, "c": 1}
    assert [at for at, _ in targets(node)] == ["a", "a.b.0"]


# ---------------------------------------------------------------------------------------- recipes


def incomplete(folder: Path) -> list[str]:
    """What a recipe's folder lacks; results too, unless its README says that there are none."""
    wanted = ["recipe.yaml", "README.md", "results.json"]
    if says_unmeasured(folder):
        wanted.remove("results.json")
    missing = [f"{folder.name} has no {name}" for name in wanted if not (folder / name).exists()]
    if missing:
        return missing
    results = folder / "results.json"
    if results.exists() and says_unmeasured(folder):
        return [f"{folder.name}/README.md says that it is not measured, and results.json is there"]
    if results.exists() and not isinstance(json.loads(results.read_text()), dict):
        return [f"{folder.name}/results.json holds no mapping"]
    if not (folder / "recipe.yaml").read_text().startswith("#"):
        return [f"{folder.name}/recipe.yaml starts with no comment: claim, source, command, cost"]
    return []


def test_every_recipe_is_whole() -> None:
    assert {"quickstart", "mu_scaling"} <= set(NAMES)
    assert "\n".join(said for name in NAMES for said in incomplete(RECIPES / name)) == ""


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("README.md", None, "r has no README.md"),
        ("results.json", None, "r has no results.json"),
        ("results.json", "[]", "r/results.json holds no mapping"),
        ("recipe.yaml", "name: r", "r/recipe.yaml starts with no comment"),
        ("README.md", UNMEASURED, "r/README.md says that it is not measured"),
    ],
)
def test_an_incomplete_recipe_is_seen(
    tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    whole = {"recipe.yaml": "# claim\nname: r", "README.md": "# r", "results.json": "{}"}
    for name, content in {**whole, file: text}.items():
        if content is not None:
            (folder / name).write_text(content)
    assert len(found := incomplete(folder)) == 1
    assert found[0].startswith(said)
    if text is None:
        (folder / file).write_text(whole[file])
        assert incomplete(folder) == []
    if said.endswith("no results.json"):
        (folder / file).unlink()
        (folder / "README.md").write_text(UNMEASURED)
        assert incomplete(folder) == []
