"""A small `conf/` and `recipes/`, for what reads or composes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class AnyStudy:
    """A study with whatever settings; nothing runs it."""

    def __init__(self, **settings: Any) -> None: ...
    def plan(self) -> None: ...
    def propose(self) -> None: ...
    def conclude(self) -> None: ...


TREE = {
    "conf/train.yaml": """
        defaults:
          - _self_
          - optim: adamw
          - data: stdlib
          - study: null
          - override hydra/job_logging: stdout
        name: train
        seed: 1
        role: ""
        budget: {tokens: 100, evaluations: 1}
        paths: {outputs: outputs}
        logger: null
        fresh: false
        study: null
        trainer: {precision: auto, threads: auto}
        hydra: {run: {dir: x}}
    """,
    "conf/optim/adamw.yaml": """
        defaults: [{scale: unit}, _self_]
        _target_: builtins.dict
        lr: 0.1
        eps: 1e-8
    """,
    "conf/optim/muon.yaml": """
        defaults: [{scale: half}, _self_]
        _target_: builtins.dict
        lr: 0.2
    """,
    "conf/optim/scale/unit.yaml": "{size: 1}",
    "conf/optim/scale/half.yaml": "{size: 2}",
    "conf/data/stdlib.yaml": "{held_out: 0.1}",
    "conf/data/text.yaml": "path: '???'\nheld_out: 0.1\ncopy: ${.path}",
    "conf/study/ladder.yaml": "{_target_: tests.rooms.AnyStudy, seeds: 1}",
    "recipes/base/recipe.yaml": "{optim: {lr: 0.5}, seed: 7}",
    "recipes/child/recipe.yaml": "{defaults: [base, _self_], budget: {tokens: 300}, seed: 8}",
    "recipes/empty/recipe.yaml": "# Claim: nothing.",
    "recipes/muon/recipe.yaml": "{defaults: [{override /optim: muon}], optim: {lr: 0.3}}",
    "recipes/scaled/recipe.yaml": "{optim: {scale: {size: 5}}}",
}


def write_rooms(folder: Path) -> dict[str, Path]:
    """Writes the tree; returns the arguments that name its two rooms."""
    for name, text in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"conf": folder / "conf", "recipes": folder / "recipes"}
