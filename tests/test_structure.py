"""Who may import whom, read off the syntax trees; each rule is broken once to see that it is seen.

A room is a package or module right under `src/windtunnel`. Every room may import itself and
`interfaces`; anything else stands in `MAY_IMPORT`, and what lies outside of the package in
`OUTSIDE_MAY_IMPORT`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT: dict[str, set[str]] = {
    "interfaces": set(),
    "faults": set(),
    "shards": set(),
    "files": set(),
    "redaction": set(),
    "slots": set(),
    "stopping": set(),
    # Parts: none knows another.
    "model": set(),
    "loss": set(),
    "optim": set(),
    "data": set(),
    "scaling": set(),
    "training": {"evaluation"},
    # What a job does, and what it leaves.
    "checkpoint": {"model", "data"},
    "tasks": {"checkpoint", "model", "data"},
    "generate": {"checkpoint", "model", "data"},
    "export": {"checkpoint", "model", "data"},
    "callbacks": {"checkpoint", "model.count", "scaling"},
    # Reading records.
    "studies": {"scaling"},
    "report": {"scaling"},
    # Small pure pieces that `config` and `run` are made of.
    "budget": set(),
    "choices": set(),
    "ddp": set(),
    "fsdp": set(),
    "evaluation": set(),
    "folder": set(),
    "guards": set(),
    "provenance": set(),
    "catalogue": {"guards"},
    "config": {"catalogue", "guards", "slots"},
    # Everything else arrives by `_target_`.
    "build": {"slots", "checkpoint", "model", "data", "optim", "training", "evaluation", "fsdp"},
    "scorers": {"data"},
    "scoring": {
        "build",
        "callbacks",
        "checkpoint",
        "choices",
        "config",
        "data",
        "provenance",
        "scorers",
        "tasks",
        "training",
    },
    "branch": {"build", "budget", "checkpoint", "config", "data", "guards", "slots"},
    "run": {
        "branch",
        "build",
        "budget",
        "callbacks",
        "checkpoint",
        "choices",
        "config",
        "data",
        "ddp",
        "fsdp",
        "folder",
        "model",
        "provenance",
        "scoring",
        "tasks",
        "training",
    },
}
# What every room may import.
EVERYWHERE = ("interfaces", "files", "faults", "redaction", "shards", "stopping")
OUTSIDE_MAY_IMPORT: dict[str, set[str]] = {
    "train.py": {"run", "catalogue", "config", "ddp", "folder"},
    "src/hydra_plugins": {"run", "config", "folder", "guards", "provenance"},
    "bench": {"run", "config", "build", "scaling"},
    "scripts": set(MAY_IMPORT),
}

# A library that only these paths may import, at the top or inside a function.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "hydra": (
        "src/windtunnel/branch.py",
        "src/windtunnel/config.py",
        "src/windtunnel/build.py",
        "src/windtunnel/run.py",
        "src/windtunnel/scoring.py",
        "train.py",
        "src/hydra_plugins",
    ),
    "wandb": ("src/windtunnel/report/dashboard.py",),
}
ONLY_IN["omegaconf"] = ONLY_IN["hydra"]

TORCH = {"torch", "lightning", "torchmetrics"}
# Paths that never import torch, and paths that do not while they are being imported.
NEVER_TORCH = ("src/windtunnel/scaling", "src/windtunnel/studies", "src/windtunnel/report")
NO_TORCH_AT_THE_TOP = (
    "src/windtunnel/interfaces.py",
    "src/windtunnel/catalogue.py",
    "src/windtunnel/config.py",
    "src/windtunnel/provenance.py",
    "src/hydra_plugins",
    "train.py",
)
TEST_TOOLS = {"pytest", "hypothesis", "jsonschema"}


@dataclass(frozen=True)
class Import:
    """One imported name, in dots; `at_the_top` when importing the file imports it too."""

    path: str
    line: int
    name: str
    at_the_top: bool


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def names(node: ast.Import | ast.ImportFrom, package: list[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    above = package[: len(package) - node.level + 1] if node.level else []
    origin = ".".join([*above, *([node.module] if node.module else [])])
    yield from (f"{origin}.{alias.name}" for alias in node.names)


def imports(root: Path, path: Path) -> Iterator[Import]:
    """All imports of a file, wherever they stand in it."""
    relative = path.relative_to(root)
    parts = relative.parts[1:] if relative.parts[0] == "src" else relative.parts
    package = list(parts[:-1])

    def walk(node: ast.AST, at_the_top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                for name in names(child, package):
                    yield Import(relative.as_posix(), child.lineno, name, at_the_top)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_the_top and not function and not is_type_checking(child))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def all_imports(root: Path) -> list[Import]:
    """Every import of the package, the plugins, the scripts, the benchmarks and `train.py`."""
    folders = [root / "src", root / "scripts", root / "bench"]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    paths += [root / "train.py"] if (root / "train.py").exists() else []
    return [found for path in paths for found in imports(root, path)]


def lies_in(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def allowed_rooms(path: str) -> set[str] | None:
    """Rooms that a file may import besides `interfaces`; None when no rule names its place."""
    inside = "src/windtunnel/"
    if path.startswith(inside):
        room = path.removeprefix(inside).split("/")[0].removesuffix(".py")
        if room == "__init__":
            return set()
        return None if room not in MAY_IMPORT else {room, *MAY_IMPORT[room]}
    places = [place for place in OUTSIDE_MAY_IMPORT if lies_in(path, (place,))]
    return OUTSIDE_MAY_IMPORT[places[0]] if places else None


def wrong_room(found: Import) -> str | None:
    if not found.name.startswith("windtunnel."):
        return None
    target = found.name.removeprefix("windtunnel.")
    rooms = allowed_rooms(found.path)
    if rooms is None:
        return "lies in no room that MAY_IMPORT names: state there what it may import"
    if target.startswith("__") or lies_in(target.replace(".", "/"), EVERYWHERE):
        return None
    if any(f"{target}.".startswith(f"{room}.") for room in rooms):
        return None
    return f"imports {found.name}, and may import only {sorted(rooms)} and interfaces"


def wrong_library(found: Import) -> str | None:
    library = found.name.split(".")[0]
    if library in ONLY_IN and not lies_in(found.path, ONLY_IN[library]):
        return f"imports {library}, which only {', '.join(ONLY_IN[library])} may"
    if library in TORCH and lies_in(found.path, NEVER_TORCH):
        return f"imports {library}, and works without torch"
    if library in TORCH and found.at_the_top and lies_in(found.path, NO_TORCH_AT_THE_TOP):
        return f"imports {library} at the top, which makes every start slow"
    if library in TEST_TOOLS:
        return f"imports {library}, which a user has not installed"
    return None


def problems(root: Path) -> list[str]:
    """What breaks a rule, as `path:line says what`."""
    return [
        f"{found.path}:{found.line} {said}"
        for found in all_imports(root)
        for said in (wrong_room(found), wrong_library(found))
        if said
    ]


def test_imports_keep_to_the_table() -> None:
    found = {i.path.split("/")[2] for i in all_imports(ROOT) if i.path.startswith("src/windtunnel")}
    assert {"model", "data", "scaling", "studies"} <= found
    assert "\n".join(problems(ROOT)) == ""


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("src/windtunnel/model/a.py", "from windtunnel.data import b", "imports windtunnel.data.b"),
        ("src/windtunnel/model/a.py", "import windtunnel.run", "imports windtunnel.run"),
        ("src/windtunnel/model/x/a.py", "from ...loss import b", "imports windtunnel.loss.b"),
        ("src/windtunnel/training.py", "from . import model", "imports windtunnel.model"),
        ("src/windtunnel/callbacks/a.py", "from windtunnel.model import gpt", "windtunnel.model"),
        ("src/windtunnel/new.py", "import windtunnel.interfaces", "no room"),
        ("src/windtunnel/loss/a.py", "def f():\n    import hydra", "imports hydra"),
        ("src/windtunnel/studies/a.py", "from omegaconf import OmegaConf", "imports omegaconf"),
        ("src/windtunnel/callbacks/a.py", "import wandb", "imports wandb"),
        ("src/windtunnel/scaling/a.py", "def f():\n    import torch", "works without torch"),
        ("src/windtunnel/config.py", "import lightning", "at the top"),
        ("src/hydra_plugins/p/a.py", "try:\n    import torch\nexcept E: ...", "at the top"),
        ("src/hydra_plugins/p/a.py", "import windtunnel.data", "imports windtunnel.data"),
        ("train.py", "from torch import nn", "at the top"),
        ("bench/a.py", "from windtunnel.model.gpt import GPT", "imports windtunnel.model"),
        ("src/windtunnel/data/a.py", "import hypothesis", "not installed"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path: Path, path: str, code: str, said: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code)
    assert len(found := problems(tmp_path)) == 1
    assert said in found[0]
    assert found[0].startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("src/windtunnel/callbacks/a.py", "from windtunnel.model import count"),
        ("src/windtunnel/callbacks/a.py", "from windtunnel.model.count import flops"),
        (
            "src/windtunnel/model/x/a.py",
            "from ..y import b\nfrom windtunnel.interfaces import Loss",
        ),
        ("src/windtunnel/interfaces.py", "if TYPE_CHECKING:\n    from torch import Tensor"),
        ("train.py", "def main():\n    import torch\n    from windtunnel.run import run"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, path: str, code: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code)
    assert len(all_imports(tmp_path)) > 0
    assert problems(tmp_path) == []


def test_a_start_imports_nothing_heavy() -> None:
    code = (
        "import train, sys; print(*sorted({'torch', 'lightning', 'scipy', 'matplotlib', 'pandas',"
    )
    code += " 'pyarrow', 'datasets', 'wandb'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
