"""Prints every parameter's role and what its parametrisation multiplies, without building weights.

python scripts/roles.py mu_scaling model.width=512 parametrization=completep
"""

from __future__ import annotations

import argparse
import re
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from windtunnel.build import build_model
from windtunnel.config import compose
from windtunnel.model.parametrization import rows

COLUMNS = ("init_std", "lr", "weight_decay", "eps", "forward")


def main() -> None:
    """Composes a recipe and prints its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", help="a folder in recipes/")
    parser.add_argument("overrides", nargs="*", help="KEY=VALUE as for train.py")
    parser.add_argument("--vocab-size", type=int, default=1024)
    given = parser.parse_args()
    cfg = compose(given.recipe, given.overrides)
    with torch.device("meta"):
        model, multipliers = build_model(cfg, given.vocab_size)
    title = f"{cfg.parametrization.rule._target_.rpartition('.')[2]}, width {cfg.model.width}"
    table = Table(title=title)
    for heading in ("name", "role", "fans", "start", *COLUMNS):
        table.add_column(heading.replace("_", " "), no_wrap=True)
    for name, row in layers_together(rows(model, multipliers)).items():
        numbers = [f"{row[column]:.4g}" for column in COLUMNS]
        fans = f"{row['fan_in']} > {row['fan_out']}"
        table.add_row(name, row["role"], fans, row["start"], *numbers)
    Console(width=130).print(table)


def layers_together(table: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows by name, those of all layers as one where they are equal."""
    named: dict[str, dict[str, Any]] = {}
    for row in table:
        every = re.sub(r"\.\d+\.", ".*.", row["name"])
        same = named.setdefault(every, row)
        if {**same, "name": ""} != {**row, "name": ""}:
            named[row["name"]] = row
    return named


if __name__ == "__main__":
    main()
