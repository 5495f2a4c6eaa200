"""Says at which size a ladder's training would break, from what its runs measured.

python scripts/stability.py outputs/mu_scaling/DIGEST --target-n 1e9

The runs must have been trained with `callbacks=drift`. For every learning rate their attention
logits and their gradients over Adam's epsilon are carried on to the target.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from windtunnel.interfaces import Record
from windtunnel.report import table
from windtunnel.scaling.instability import (
    ATTENTION_LOGIT,
    GRADIENT_TO_EPS,
    Outlook,
    Watched,
    at_one_step,
    attention_logits,
    gradients_to_eps,
    outlooks,
    warnings,
)

MEASURED = ((ATTENTION_LOGIT, attention_logits), (GRADIENT_TO_EPS, gradients_to_eps))


def main(arguments: list[str] | None = None) -> int:
    """Prints a table for each quantity; 1 where something would break, 2 where nothing is known."""
    given = parser().parse_args(arguments)
    try:
        found = [(watched, *foreseen(watched, read, given)) for watched, read in MEASURED]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    console, said = Console(), []
    for watched, step, own in found:
        console.print(lines(watched, step, own, given.target_n), end="\n\n")
        said += warnings(watched, own, given.target_n)
    console.print(table.warnings(said))
    return int(bool(said))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("folder", type=Path, help="a study's folder, with its jobs inside")
    out.add_argument("--target-n", type=float, required=True, help="parameters to look ahead to")
    out.add_argument("--convention", default="non_embedding", help="how they are counted")
    return out


def foreseen(
    watched: Watched,
    read: Callable[[Mapping[str, Any]], dict[int, float]],
    given: argparse.Namespace,
) -> tuple[int, list[Outlook]]:
    """The step that the runs are compared at, and what is foreseen at each learning rate.

    Raises:
        ValueError: no run was measured, or they share no step.
    """
    records = [Record.load(path.parent) for path in sorted(given.folder.glob("*/record.json"))]
    measured = [(record, read(record.measurements)) for record in records]
    measured = [(record, own) for record, own in measured if own]
    common = at_one_step([own for _, own in measured])
    if common is None:
        raise ValueError(
            f"{given.folder}: expected two runs or more that measured the {watched.name} at one "
            f"step, got {len(measured)} of {len(records)}: train them with callbacks=drift"
        )
    step, values = common
    sizes = [float(record.parameters[given.convention]) for record, _ in measured]
    rates = [float(record.config["optim"]["lr"]) for record, _ in measured]
    return step, outlooks(watched, sizes, rates, values, given.target_n)


def lines(watched: Watched, step: int, found: list[Outlook], target_n: float) -> RenderableType:
    """A line per learning rate."""
    columns = ("learning rate", "sizes", f"at N = {target_n:.3g}",
               f"{watched.warn:g} from N =", f"{watched.lost:g} from N =")  # fmt: skip
    rows = [
        (f"{own.lr:.3g}", str(own.n_sizes), f"{own.predicted:.3g}",
         table.count(own.warn_at), table.count(own.lost_at))
        for own in found
    ]  # fmt: skip
    return table.table(f"{watched.name}, of runs at step {step}", columns, rows)


if __name__ == "__main__":
    raise SystemExit(main())
