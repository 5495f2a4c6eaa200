"""Seconds of a whole training step under one optimiser against another, in turns.

Both models stand in one process and take a step each in turn, so that whatever else the machine
does meets both; reported are the medians, and the median and the quartiles of the pairs' ratios.
The step is forward, backward, clipping and optimiser, on tokens in memory, compiled as in training.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "optim.json"
WANTED = 1.5  # times AdamW's training step, at most
WARMUP_STEPS = 3


def stepper(optim: str, width: int, compiled: bool, overrides: list[str]) -> Callable[[], float]:
    """A function that trains one step and gives the seconds it took."""
    import torch

    from windtunnel.build import Objective, build_groups, build_model, empty_batch, make
    from windtunnel.config import compose

    given = [f"optim={optim}", f"model.width={width}", *overrides]
    cfg = compose(None, given)
    vocabulary = cfg.tokenizer.vocab_size
    model, table = build_model(cfg, vocabulary)
    optimizer = make(cfg.optim.build)(build_groups(cfg, model, table))
    objective = Objective(model, make(cfg.loss))
    if compiled:
        objective.compile()
    zeros = empty_batch(cfg, torch.device("cpu"), 1)
    draw = torch.Generator().manual_seed(0)

    def step() -> float:
        tokens = torch.randint(vocabulary, zeros.tokens_BT.shape, generator=draw)
        batch = zeros._replace(tokens_BT=tokens, targets_BT=tokens.roll(-1, 1))
        begin = time.perf_counter()
        objective(batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), cfg.optim.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begin

    return step


def compare(
    optim: str, rival: str, width: int, pairs: int, compiled: bool, overrides: list[str]
) -> dict[str, Any]:
    """Steps of both in turns."""
    steppers = {name: stepper(name, width, compiled, overrides) for name in (optim, rival)}
    for step in steppers.values():
        for _ in range(WARMUP_STEPS):
            step()
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    for pair in range(pairs):
        for name in (optim, rival) if pair % 2 == 0 else (rival, optim):
            seconds[name].append(steppers[name]())
    ratios = [a / b for a, b in zip(seconds[optim], seconds[rival], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return {
        "optim": optim,
        "rival": rival,
        "width": width,
        "pairs": pairs,
        "compiled": compiled,
        "seconds": {name: statistics.median(found) for name, found in seconds.items()},
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "wanted": WANTED if optim == "muon" and width == 256 else None,
    }


def line(row: dict[str, Any]) -> str:
    """One comparison as text."""
    ours, theirs = (1e3 * row["seconds"][row[name]] for name in ("optim", "rival"))
    spread = f"{row['ratio']:.3f} ({row['ratio_low']:.3f} .. {row['ratio_high']:.3f})"
    return f"{row['optim']:>17}  {row['width']:5}  {ours:8.1f}  {theirs:8.1f}  {spread:>24}"


def main() -> None:
    """Measures all optimisers at all widths, prints the table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--optim", nargs="+", default=["muon"], help="options of conf/optim")
    parser.add_argument("--rival", default="adamw")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--eager", action="store_true", help="do not compile the model")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the config")
    given = parser.parse_args()
    import torch

    print("            optim  width     ms/step  rival    ratio (quartiles)")
    rows = []
    for width in given.widths:
        for optim in given.optim:
            row = compare(optim, given.rival, width, given.pairs, not given.eager, given.set)
            rows.append(row)
            print(line(row), flush=True)
    machine = {
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    results = {"machine": machine, "overrides": given.set, "rows": rows}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "src"))
    main()
