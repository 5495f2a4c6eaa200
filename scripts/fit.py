"""Fits a scaling law to a table of runs, says how sure it is, and predicts.

python scripts/fit.py runs.csv --law chinchilla --columns N=N_params,D=D_tokens,L=loss \\
    --where "loss < 4" --predict N=7e10,D=1.4e12 --bootstrap 500 --out fit.json --figure fit.png

TABLE is a CSV file (lines that start with # are comments; an export of W&B's table of runs is one)
or a folder of records. `--law list` lists the laws, `--law auto` compares them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from windtunnel.report import fit as report
from windtunnel.report.outputs import check_outputs, write_whole
from windtunnel.scaling.answer import Answer, answer
from windtunnel.scaling.drawn import n_resamples
from windtunnel.scaling.laws import listing
from windtunnel.scaling.rates import Curves
from windtunnel.scaling.request import Request, parse_target
from windtunnel.scaling.table import read_table


def main(arguments: list[str] | None = None) -> int:
    """Fits and says what was found; 2 where the table or the request is of no use."""
    given = parser().parse_args(arguments)
    console = Console()
    if given.law == "list":
        console.print(report.laws(listing()))
        return 0
    try:
        outputs = [path for path in (given.out, given.figure) if path]
        check_outputs(outputs)
        found = ask(given)
        write_whole(files(given, found))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for part in report.tables(found.values):
        console.print(part, end="\n\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("table", nargs="?", type=Path, help="a CSV file or a folder of records")
    out.add_argument("--law", required=True, help="its name, or list, or auto")
    out.add_argument("--columns", default="", help="N=N_params,L=loss; also N=N_Mi*1048576")
    out.add_argument("--where", help="condition on the rows that are used")
    out.add_argument("--holdout", help="condition on the rows that the law is judged on")
    out.add_argument("--predict", action="append", default=[], help="N=7e10,D=1.4e12; repeatable")
    out.add_argument("--budget", action="append", default=[], type=float, metavar="FLOPS",
                     help="find the best N and D for it; repeatable")  # fmt: skip
    out.add_argument("--objective", choices=("huber_log", "least_squares"), default="huber_log")
    out.add_argument(
        "--delta", type=float, help="where Huber's cost turns linear; 1e-3 if not given"
    )
    out.add_argument("--bootstrap", type=int, metavar="RESAMPLES",
                     help="500 if not given; least squares then takes the profile")  # fmt: skip
    out.add_argument("--group", metavar="COLUMN", help="rows of one value share their noise")
    out.add_argument("--curves", metavar="COLUMN",
                     help="rows of one value are one training curve, with columns step and "
                     "lr: laws of whole curves then have theirs")  # fmt: skip
    out.add_argument("--warmup", type=int, default=0, metavar="STEPS", help="of the curves; 0")
    out.add_argument("--decay", type=float, default=0.999,
                     help="of the momentum in a curve's annealing area S2; 0.999")  # fmt: skip
    out.add_argument("--level", type=float, default=0.95, help="probability of intervals; 0.95")
    out.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    out.add_argument("--out", type=Path, help="where to write the result as JSON")
    out.add_argument("--figure", type=Path, help="where to draw it; .png, .pdf or .svg")
    return out


def ask(given: argparse.Namespace) -> Answer:
    """The answer, with a bar on the terminal while a bootstrap runs."""
    if given.table is None:
        raise ValueError(
            "TABLE: give a CSV file or a folder of records; only --law list needs none"
        )
    huber = given.objective == "huber_log"
    request = Request(
        law=given.law,
        columns=given.columns,
        where=given.where,
        holdout=given.holdout,
        targets=tuple(parse_target(text) for text in given.predict),
        budgets=tuple(given.budget),
        loss_kind=given.objective,
        delta=1e-3 if huber and given.delta is None else given.delta,
        n_resamples=given.bootstrap,
        group=given.group,
        level=given.level,
        seed=given.seed,
        curves=Curves(given.curves, given.decay, given.warmup) if given.curves else None,
    )
    table = read_table(given.table)
    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("bootstrap", total=n_resamples(request))
        return answer(request, table, lambda n: bar.advance(task, n))


def files(given: argparse.Namespace, found: Answer) -> dict[Path, bytes]:
    """What is written where."""
    contents = {}
    if given.out:
        contents[given.out] = (json.dumps(found.values, indent=1) + "\n").encode()
    if given.figure:
        drawn = report.figure(found.values, found.drawing)
        contents[given.figure] = report.image(drawn, given.figure.suffix.lstrip(".").lower())
    return contents


if __name__ == "__main__":
    raise SystemExit(main())
