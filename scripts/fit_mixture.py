"""Fits losses to the mixtures that models were trained on, and says which mixture is best.

python scripts/fit_mixture.py MIXTURES.csv LOSSES.csv --target COLUMN \\
    --test MIXTURES2.csv LOSSES2.csv --regressor lightgbm --json

MIXTURES has a column of weights for each domain and a row per run; LOSSES has the losses of the
same runs. The fit is judged on the second pair, which it does not see. The best mixture is the mean
of the --top best among --draws mixtures drawn around the mean of the fitted ones, each weight at
most the largest that was fitted, or --bound.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from rich.console import Console

from windtunnel.report import fit_mixture as report
from windtunnel.scaling.mixture.answer import judged, sought
from windtunnel.scaling.mixture.boosted_trees import BoostedTrees
from windtunnel.scaling.mixture.draw import Draw
from windtunnel.scaling.mixture.gaussian_process import GaussianProcess
from windtunnel.scaling.mixture.least_squares import LeastSquares
from windtunnel.scaling.mixture.log_linear import LogLinear
from windtunnel.scaling.mixture.ridge import Ridge
from windtunnel.scaling.mixture.surrogate import Regressor
from windtunnel.scaling.mixture.table import Mixtures, read_mixtures, same_domains


def main(arguments: list[str] | None = None) -> int:
    """Fits and says what was found; 2 where the tables or the request are of no use."""
    given = parser().parse_args(arguments)
    try:
        found = ask(given)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(found, indent=1))
        return 0
    console = Console()
    for part in report.tables(found):
        console.print(part, end="\n\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    pair = ("MIXTURES", "LOSSES")
    out.add_argument("mixtures", type=Path, metavar=pair[0], help="CSV file of weights to fit")
    out.add_argument("losses", type=Path, metavar=pair[1], help="CSV file of losses to fit")
    out.add_argument("--target", required=True, metavar="COLUMN", help="which of the losses")
    out.add_argument("--test", required=True, nargs=2, type=Path, metavar=pair,
                     help="the same of runs that the fit does not see")  # fmt: skip
    out.add_argument("--regressor", choices=tuple(REGRESSORS), default="lightgbm")
    out.add_argument("--trees", type=int, default=1000, help="of lightgbm; 1000")
    out.add_argument("--rate", type=float, default=0.01, help="of lightgbm; 0.01")
    out.add_argument("--leaves", type=int, default=31, help="of a tree; 31")
    out.add_argument("--rows-per-leaf", type=int, default=20, help="of a tree at least; 20")
    out.add_argument("--patience", type=int, metavar="TREES",
                     help="stop lightgbm by a fifth of the fitted rows")  # fmt: skip
    out.add_argument("--penalty", type=float, default=0.01, help="of ridge; 0.01")
    out.add_argument("--draws", type=int, default=100_000, help="to choose the best from; 100000")
    out.add_argument("--top", type=int, default=100, help="how many of them are averaged; 100")
    out.add_argument("--bound", type=float, metavar="WEIGHT", help="largest weight of any domain")
    out.add_argument("--level", type=float, default=0.95, help="probability of the interval; 0.95")
    out.add_argument("--bootstrap", type=int, default=1000, metavar="RESAMPLES", help="1000")
    out.add_argument("--seed", type=int, default=0, help="of draws, bootstrap and validation; 0")
    out.add_argument("--json", action="store_true", help="print JSON")
    return out


def lightgbm(given: argparse.Namespace) -> Regressor:
    """Boosted trees as the command line sets them."""
    return BoostedTrees(
        n_trees=given.trees,
        rate=given.rate,
        n_leaves=given.leaves,
        rows_per_leaf=given.rows_per_leaf,
        patience=given.patience,
        validation=0.2,
        seed=given.seed,
    )


REGRESSORS = {
    "lightgbm": lightgbm,
    "gaussian_process": lambda given: GaussianProcess(restarts=2, seed=given.seed),
    "least_squares": lambda _: LeastSquares(),
    "ridge": lambda given: Ridge(penalty=given.penalty),
    "log_linear": lambda _: LogLinear(),
}


def ask(given: argparse.Namespace) -> dict[str, Any]:
    """The fit, how it is judged, and its best mixture.

    Raises:
        ValueError: a table or a setting is of no use.
    """
    check(given)
    regressor = REGRESSORS[given.regressor](given)
    fitted = read_mixtures(given.mixtures, given.losses, given.target)
    other = read_mixtures(given.test[0], given.test[1], given.target)
    test = same_domains(fitted, other)
    mean_S, bound_S = bounds(fitted, given.bound)
    candidates_MS = Draw(low=1.0, high=1.0, steps=1, temper=1.0).mixtures(
        mean_S, bound_S, given.draws, given.seed
    )
    predict = regressor.fit(fitted.weights_MS, fitted.loss_M)
    found = judged(predict, test.weights_MS, test.loss_M, level=given.level,
                   n_resamples=given.bootstrap, seed=given.seed)  # fmt: skip
    best = sought(predict, fitted.domains, candidates_MS, given.top, bound_S, fitted.weights_MS)
    return {
        "regressor": given.regressor,
        "target": given.target,
        "n_fit": len(fitted.loss_M),
        "n_test": len(test.loss_M),
        "level": given.level,
        **{key: value for key, value in found.items() if key != "predicted"},
        **best,
        "mean": dict(zip(fitted.domains, mean_S.tolist(), strict=True)),
        "bound": dict(zip(fitted.domains, bound_S.tolist(), strict=True)),
    }


def bounds(fitted: Mixtures, bound: float | None) -> tuple[ndarray, ndarray]:
    """Mean share of each domain in the fitted mixtures [S], and the largest weight allowed [S]."""
    mean_S = fitted.weights_MS.mean(0) / fitted.weights_MS.mean(0).sum()
    largest_S = np.minimum(fitted.weights_MS.max(0), 1.0)
    return mean_S, largest_S if bound is None else np.minimum(largest_S, bound)


def check(given: argparse.Namespace) -> None:
    """Refuses numbers that are of no use.

    Raises:
        ValueError: naming the option.
    """
    for name, value in (("draws", given.draws), ("bootstrap", given.bootstrap)):
        if value < 1:
            raise ValueError(f"--{name}: expected at least 1, got {value}")
    if not 0 < given.level < 1:
        raise ValueError(f"--level: expected a probability between 0 and 1, got {given.level}")
    if given.bound is not None and not 0 < given.bound <= 1:
        raise ValueError(f"--bound: expected a weight above 0 and at most 1, got {given.bound}")


if __name__ == "__main__":
    raise SystemExit(main())
