"""Says at which size a ladder's training would break, from what its runs measured.

python scripts/stability.py outputs/mu_scaling/DIGEST --target-n 1e9

The runs must have been trained with `callbacks=drift`. For every learning rate their attention
logits and their gradients over Adam's epsilon are carried on to the target.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console, RenderableType

from windtunnel.interfaces import Record
from windtunnel.report import table
from windtunnel.scaling.instability import MEASURED, Foreseen, Run, foresee, warnings


def main(arguments: list[str] | None = None) -> int:
    """Prints a table for each quantity; 1 where something would break, 2 where nothing is known."""
    given = parser().parse_args(arguments)
    try:
        members = runs(given)
        found = foresee(members, given.target_n)
        if len(found) < len(MEASURED):
            raise ValueError(
                f"{given.folder}: expected two runs or more that measured attention logits and "
                f"gradients at one step, got {sum(bool(run.measurements) for run in members)} of "
                f"{len(members)}: train them with callbacks=drift"
            )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    console, said = Console(), []
    for own in found:
        console.print(lines(own, given.target_n), end="\n\n")
        said += warnings(own.watched, own.outlooks, given.target_n)
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


def runs(given: argparse.Namespace) -> list[Run]:
    """What the jobs in the folder measured."""
    records = [Record.load(path.parent) for path in sorted(given.folder.glob("*/record.json"))]
    return [
        Run(
            float(record.parameters[given.convention]),
            float(record.config["optim"]["lr"]),
            record.measurements,
        )
        for record in records
    ]


def lines(found: Foreseen, target_n: float) -> RenderableType:
    """A line per learning rate."""
    watched = found.watched
    columns = ("learning rate", "sizes", f"at N = {target_n:.3g}",
               f"{watched.warn:g} from N =", f"{watched.lost:g} from N =")  # fmt: skip
    rows = [
        (f"{own.lr:.3g}", str(own.n_sizes), f"{own.predicted:.3g}",
         table.count(own.warn_at), table.count(own.lost_at))
        for own in found.outlooks
    ]  # fmt: skip
    return table.table(f"{watched.name}, of runs at step {found.step}", columns, rows)


if __name__ == "__main__":
    raise SystemExit(main())
