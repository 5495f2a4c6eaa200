"""How fast Chinchilla's law is fitted: the paper's grid of 4,500 starts, and 500 bootstraps.

The rival is the loop that one would write by hand: scipy's L-BFGS from every start, one after the
other, on the same objective with the same analytic gradient, over log A, log B, log E, alpha and
beta. It is slow, so by default a random sample of its starts is timed and scaled up; `--all` runs
all of them, and says how far its minimum lies from ours. The ratio is of processor time, which
other work on the machine disturbs less.

Data are 240 runs drawn from the published coefficients, or those of a CSV file with the columns
N_params, D_tokens and loss, of which the five highest losses are left out.

Source: the grid and the objective, Hoffmann et al. 2022, arXiv 2203.15556, appendix D.3; the
coefficients and the scaling of the objective, Besiroglu et al. 2024, arXiv 2404.10102.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from scipy import optimize

from windtunnel.scaling.bootstrap import resample
from windtunnel.scaling.fit import Fit, fit
from windtunnel.scaling.laws.chinchilla import Chinchilla
from windtunnel.scaling.table import parse_columns, read_table

RESULTS = Path(__file__).parent / "results" / "fit.json"
WANTED = {"grid_seconds": 5.0, "bootstrap_seconds": 60.0, "ratio": 10.0}
PUBLISHED = (482.01, 2085.43, 1.8172, 0.3478, 0.3658)  # Besiroglu et al. 2024, arXiv 2404.10102
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)  # Hoffmann et al. 2022, arXiv 2203.15556, appendix D.3
LOG_CONSTANTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # the same
LOG_AMPLITUDES = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)  # the same
DELTA, SCALE = 1e-3, 1e3
N_RUNS, N_DROPPED, NOISE = 240, 5, 0.005
N_RESAMPLES = 500


def synthetic() -> tuple[dict[str, ndarray], ndarray]:
    """Runs along budgets from 1e18 to 1e22 FLOPs, with half a per cent of noise."""
    rng = np.random.default_rng(0)
    flops = 10 ** rng.uniform(18, 22, N_RUNS)
    N = np.sqrt(flops / 120) * 2 ** rng.uniform(-2, 2, N_RUNS)
    x = {"N": N, "D": flops / 6 / N}
    loss = Chinchilla().predict(np.array([PUBLISHED]), x)[0]
    return x, loss * np.exp(NOISE * rng.standard_normal(N_RUNS))


def extracted(path: Path) -> tuple[dict[str, ndarray], ndarray]:
    """The runs of a CSV file without the highest losses."""
    columns = parse_columns("N=N_params,D=D_tokens,L=loss")
    x = read_table(path).numbers(columns, set(columns))
    kept = np.argsort(x["L"])[:-N_DROPPED]
    return {name: x[name][kept] for name in "ND"}, x["L"][kept]


def grid() -> ndarray:
    """The paper's starts, over log A, log B, log E, alpha and beta [S, P]."""
    axes = (LOG_AMPLITUDES, LOG_AMPLITUDES, LOG_CONSTANTS, EXPONENTS, EXPONENTS)
    return np.array(list(product(*axes)))


def ours(x: dict[str, ndarray], loss: ndarray, start_SP: ndarray) -> Fit:
    """The fit from these starts."""
    starts = np.hstack([np.exp(start_SP[:, :3]), start_SP[:, 3:]])
    return fit(Chinchilla(), x, loss, loss_kind="huber_log", delta=DELTA, starts=starts)


def loop(x: dict[str, ndarray], loss: ndarray, start_SP: ndarray) -> float:
    """The lowest objective that scipy finds, one start after the other."""
    log_N, log_D, log_loss = np.log(x["N"]), np.log(x["D"]), np.log(loss)

    def objective(theta: ndarray) -> tuple[float, ndarray]:
        a, b, e, alpha, beta = theta
        terms = np.stack([a - alpha * log_N, b - beta * log_D, np.full_like(log_N, e)])
        top = terms.max(axis=0)
        parts = np.exp(terms - top)
        total = parts.sum(axis=0)
        residual = top + np.log(total) - log_loss
        size = np.minimum(np.abs(residual), DELTA)
        share_N, share_D, share_E = np.clip(residual, -DELTA, DELTA) * parts / total
        slopes = [share_N, share_D, share_E, -share_N * log_N, -share_D * log_D]
        value = np.sum(size * (np.abs(residual) - size / 2))
        return SCALE * value, SCALE * np.array([slope.sum() for slope in slopes])

    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 2000, "maxfun": 10000}
    ends = [
        optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).fun
        for start in start_SP
    ]
    return float(np.nanmin(ends)) / SCALE


class Measured(NamedTuple):
    """Seconds that some work took, by the clock and of processor time, and what it gave."""

    wall: float
    cpu: float
    result: Any


def measure(work: Callable[[], Any]) -> Measured:
    """Does some work and times it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu, result)


def main() -> None:
    """Measures all three, prints them and writes the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--csv", type=Path, help="runs to fit instead of synthetic ones")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--sample", type=int, default=150, help="starts of the rival that are timed"
    )
    parser.add_argument("--all", action="store_true", help="time every start of the rival")
    given = parser.parse_args()
    x, loss = extracted(given.csv) if given.csv else synthetic()
    start_SP = grid()
    timed = [measure(lambda: ours(x, loss, start_SP)) for _ in range(given.repeats)]
    fitted = timed[-1].result
    drawn = [
        measure(lambda: resample(fitted, "residual", N_RESAMPLES, np.random.default_rng(0)))
        for _ in range(given.repeats)
    ]
    rng = np.random.default_rng(1)
    n_timed = len(start_SP) if given.all else given.sample
    rows = rng.permutation(len(start_SP))[:n_timed]
    rival = measure(lambda: loop(x, loss, start_SP[rows]))
    grid_seconds, bootstrap_seconds = ([each.wall for each in many] for many in (timed, drawn))
    loop_seconds = rival.cpu * len(start_SP) / n_timed
    result = {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "data": given.csv.name if given.csv else "synthetic",
        "n_starts": len(start_SP),
        "grid_seconds": grid_seconds,
        "grid_cpu_seconds": [each.cpu for each in timed],
        "bootstrap_seconds": bootstrap_seconds,
        "loop_starts_timed": n_timed,
        "loop_cpu_seconds": loop_seconds,
        "ratio": loop_seconds / statistics.median(each.cpu for each in timed),
        "objective": fitted.value,
        "loop_objective": rival.result,
        "parameters": fitted.parameters,
        "wanted": WANTED,
    }
    print(f"{len(start_SP)} starts      {spread(grid_seconds)}, wanted: below 5 s")
    print(f"{N_RESAMPLES} bootstraps   {spread(bootstrap_seconds)}, wanted: below 60 s")
    print(f"scipy's loop     {loop_seconds:.0f} s ({n_timed} of {len(start_SP)} starts "
          f"timed), {result['ratio']:.0f} times ours, wanted: at least 10")  # fmt: skip
    print(f"objective        {fitted.value:.9e}, the loop's {rival.result:.9e}: "
          f"{fitted.value / rival.result - 1:+.1e}")  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def spread(values: list[float]) -> str:
    """The median with the smallest and the largest."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} .. {max(values):.2f})"


if __name__ == "__main__":
    main()
