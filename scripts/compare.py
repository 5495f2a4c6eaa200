"""Says which of two designs will be better at a target, from a table of runs of each.

python scripts/compare.py outputs/mu_scaling/DIGEST outputs/standard_scaling/DIGEST \\
    --law power_law_constant --columns N=N_total,L=loss --where "role == 'rung'" \\
    --pair model.width,seed --predict N=2e6 --figure compare.png

A and B are CSV files or folders of records, as `fit.py` reads them. Both get the same law. Runs
that share their seed and data are paired by `--pair`, which makes the comparison sharper.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from windtunnel.report import rivals as report
from windtunnel.report.fit import image
from windtunnel.report.outputs import check_outputs, write_whole
from windtunnel.scaling.answer import Answer
from windtunnel.scaling.request import Request, parse_target
from windtunnel.scaling.rivals import compare_tables
from windtunnel.scaling.table import read_table


def main(arguments: list[str] | None = None) -> int:
    """Compares and says what was found; 2 where the tables or the request are of no use."""
    given = parser().parse_args(arguments)
    try:
        check_outputs([path for path in (given.out, given.figure) if path])
        found = ask(given)
        write_whole(files(given, found))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console()
    for part in report.tables(found.values):
        console.print(part, end="\n\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("a", type=Path, metavar="A", help="a CSV file or a folder of records")
    out.add_argument("b", type=Path, metavar="B", help="the same of the other design")
    out.add_argument("--names", default="", metavar="A,B", help="what to call them")
    out.add_argument("--law", required=True, help="its name; scripts/fit.py --law list lists them")
    out.add_argument("--columns", default="", help="N=N_params,L=loss; also N=N_Mi*1048576")
    out.add_argument("--where", help="condition on the rows that are used, of both")
    out.add_argument("--pair", default="", metavar="COLUMN,...", help="what paired runs share")
    out.add_argument("--predict", required=True, help="the target, N=7e10,D=1.4e12")
    out.add_argument("--objective", choices=("huber_log", "least_squares"), default="least_squares")
    out.add_argument("--bootstrap", type=int, default=500, metavar="RESAMPLES", help="500")
    out.add_argument("--level", type=float, default=0.95, help="probability of intervals; 0.95")
    out.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    out.add_argument("--out", type=Path, help="where to write the result as JSON")
    out.add_argument("--figure", type=Path, help="where to draw it; .png, .pdf or .svg")
    return out


def ask(given: argparse.Namespace) -> Answer:
    """The comparison."""
    request = Request(
        law=given.law,
        columns=given.columns,
        where=given.where,
        holdout=None,
        targets=(parse_target(given.predict),),
        budgets=(),
        loss_kind=given.objective,
        delta=1e-3 if given.objective == "huber_log" else None,
        n_resamples=given.bootstrap,
        group=None,
        level=given.level,
        seed=given.seed,
    )
    tables = [read_table(path) for path in (given.a, given.b)]
    pair = [name.strip() for name in given.pair.split(",") if name.strip()]
    return compare_tables(request, list(zip(names(given), tables, strict=True)), pair)


def names(given: argparse.Namespace) -> list[str]:
    """What the two designs are called: as given, else by their files.

    Raises:
        ValueError: not two names were given.
    """
    if not given.names:
        called = [given.a.stem, given.b.stem]
        return called if called[0] != called[1] else [str(given.a), str(given.b)]
    called = [name.strip() for name in given.names.split(",")]
    if len(called) != 2 or called[0] == called[1]:
        raise ValueError(f"names: expected two names with a comma between; got {given.names!r}")
    return called


def files(given: argparse.Namespace, found: Answer) -> dict[Path, bytes]:
    """What is written where."""
    contents = {}
    if given.out:
        contents[given.out] = (json.dumps(found.values, indent=1) + "\n").encode()
    if given.figure:
        drawn = report.figure(found.values, found.drawing)
        contents[given.figure] = image(drawn, given.figure.suffix.lstrip(".").lower())
    return contents


if __name__ == "__main__":
    raise SystemExit(main())
