"""Time and memory of the cross-entropy backends: one forward and backward pass of the loss alone.

Every backend is a process of its own; they take turns, round by round, so that whatever else the
machine does meets all of them. `logits` is the eager reference, `compiled` the same under
`torch.compile`, `torch` its own chunked form, the others are named as in `loss.backend`.

Reported are the median of the rounds, the growth of the resident high-water mark beyond the inputs
and the two gradients, and how far the loss lies from a float64 reference of the same inputs. The
results are written after every shape, beside those of other shapes and backends. A backend whose
step takes over a minute is timed once (`rounds` of its row): at 256,000 entries `torch` takes
minutes, and five of its rounds would cost more than all other rows together. The whole table takes
half an hour.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "losses.json"
VOCABULARIES = (4096, 50304, 256000)
DTYPES = ("float32", "bfloat16")
BACKENDS = ("logits", "compiled", "torch", "cut")
WEIGHT_STD = 0.05
SHORTEST_ROUND_SECONDS = 0.3
LONGEST_STEP_SECONDS = 60  # of a backend that is asked for more rounds
REFERENCE_ROWS = 64


class Factors:
    """A head that only has its two factors."""

    def __init__(self, weight_VD: Any) -> None:
        self.weight = weight_VD

    def project(self, hidden_BTD: Any) -> Any:
        from windtunnel.interfaces import Projection

        return Projection(hidden_BTD, self.weight)


def inputs(tokens: int, width: int, vocab: int, dtype: str) -> tuple[Any, Any, Any]:
    """Hidden states [1, N, D], weight [V, D] and targets [1, N], the same in every process."""
    import torch

    generator = torch.Generator().manual_seed(0)
    kind = getattr(torch, dtype)
    hidden = torch.randn(1, tokens, width, generator=generator).to(kind)
    weight = torch.randn(vocab, width, generator=generator).mul_(WEIGHT_STD).to(kind)
    targets = torch.randint(vocab, (1, tokens), generator=generator)
    return hidden, weight, targets


def scorer(backend: str) -> Callable[[Any, Any, Any], Any]:
    """The loss [] of a backend as a function of hidden states, weight and targets."""
    import torch
    import torch.nn.functional as F

    if backend == "torch":
        options = torch.nn.LinearCrossEntropyOptions()
        return lambda hidden, weight, targets: F.linear_cross_entropy(
            hidden[0], weight, targets[0], options=options
        )
    from windtunnel.build import make
    from windtunnel.config import compose
    from windtunnel.interfaces import Batch

    name = "logits" if backend == "compiled" else backend
    loss = make(compose(overrides=["loss=linear_cross_entropy", f"loss.backend={name}"]).loss)

    def score(hidden: Any, weight: Any, targets: Any) -> Any:
        return loss(hidden, Factors(weight), Batch(targets, targets, None, targets[:, 0])).loss

    return torch.compile(score) if backend == "compiled" else score


def resident_mib(field: str) -> float:
    """`VmRSS`, resident memory now, or `VmHWM`, its high-water mark."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found.group(1)) / 1024


def measure(backend: str, shape: dict[str, Any]) -> None:
    """One backend's process: a line per round that its parent asks for, and a last one."""
    hidden, weight, targets = inputs(**shape)
    gradients_mib = sum(x.numel() * x.element_size() for x in (hidden, weight)) / 2**20
    hidden.requires_grad_()
    weight.requires_grad_()
    score = scorer(backend)

    def step() -> tuple[float, float]:
        hidden.grad = weight.grad = None
        begin = time.perf_counter()
        loss = score(hidden, weight, targets)
        loss.backward()
        return time.perf_counter() - begin, loss.item()

    step()
    hidden.grad = weight.grad = None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = resident_mib("VmRSS")
    seconds, loss = step()
    peak_mib = resident_mib("VmHWM") - before - gradients_mib
    print(json.dumps({"peak_mib": peak_mib, "loss": loss, "seconds": seconds}), flush=True)
    steps = max(1, round(SHORTEST_ROUND_SECONDS / seconds))
    for _ in sys.stdin:
        print(statistics.mean(step()[0] for _ in range(steps)), flush=True)


def reference(shape: dict[str, Any]) -> float:
    """The mean loss in float64, some tokens at a time."""
    import torch.nn.functional as F

    hidden, weight, targets = inputs(**shape)
    wide = weight.double()
    parts = zip(hidden[0].split(REFERENCE_ROWS), targets[0].split(REFERENCE_ROWS), strict=True)
    total = sum(F.cross_entropy(h.double() @ wide.T, y, reduction="sum").item() for h, y in parts)
    return total / targets.numel()


def start(backend: str, shape: dict[str, Any]) -> subprocess.Popen[str]:
    """The process of a backend."""
    command = [sys.executable, __file__, "--measure", backend, "--shape", json.dumps(shape)]
    path = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str], question: str = "") -> Any:
    """What a process says next."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(question)
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} ended with {process.wait()}")
    return json.loads(line)


def compare(backends: list[str], shape: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """One row per backend at one shape."""
    truth = reference(shape)
    processes, found = {}, {}
    for backend in backends:  # one at a time, so that none warms up in another's way
        processes[backend] = start(backend, shape)
        found[backend] = answer(processes[backend])
    slow = [backend for backend in backends if found[backend]["seconds"] > LONGEST_STEP_SECONDS]
    quick = [backend for backend in backends if backend not in slow]
    seconds: dict[str, list[float]] = {backend: [found[backend]["seconds"]] for backend in slow}
    seconds |= {backend: [] for backend in quick}
    for turn in range(rounds):
        for backend in quick if turn % 2 == 0 else reversed(quick):
            seconds[backend].append(answer(processes[backend], "go\n"))
    for process in processes.values():
        process.communicate()
    return [
        {
            "backend": backend,
            **shape,
            "seconds": statistics.median(seconds[backend]),
            "seconds_low": min(seconds[backend]),
            "seconds_high": max(seconds[backend]),
            "rounds": len(seconds[backend]),
            "peak_mib": found[backend]["peak_mib"],
            "loss": found[backend]["loss"],
            "error": abs(found[backend]["loss"] - truth),
        }
        for backend in backends
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text, with ratios to `logits` and `compiled` of the same shape."""
    lines = ["vocab   dtype     backend    seconds (low .. high)     MiB  loss       error    "
             "time, memory / logits   / compiled"]  # fmt: skip
    for row in rows:
        same = [r for r in rows if (r["vocab"], r["dtype"]) == (row["vocab"], row["dtype"])]
        ratios = [
            f"{row['seconds'] / rival['seconds']:6.2f} {row['peak_mib'] / rival['peak_mib']:6.3f}"
            for name in ("logits", "compiled")
            for rival in same
            if rival["backend"] == name
        ]
        spread = f"{row['seconds']:.3f} ({row['seconds_low']:.3f} .. {row['seconds_high']:.3f})"
        lines.append(
            f"{row['vocab']:6}  {row['dtype']:8}  {row['backend']:9}  {spread:24} "
            f"{row['peak_mib']:6.0f}  {row['loss']:.6f}  {row['error']:.1e}  {'   '.join(ratios)}"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "platform": platform.platform(),
        "processor": found.group(1) if found else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def keep(new: list[dict[str, Any]]) -> None:
    """Writes rows into the results, in place of those of the same backends and shapes."""
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    measured = {identity(row) for row in new}
    rows = [row for row in kept if identity(row) not in measured] + new
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a row the same measurement as another."""
    return tuple(row[key] for key in ("tokens", "width", "vocab", "dtype", "backend"))


def main() -> None:
    """Measures every shape; prints rows as JSON, or a table that is also written as results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocab", type=int, nargs="+", default=list(VOCABULARIES))
    parser.add_argument("--dtype", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--backends", default=",".join(BACKENDS), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, write nothing")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.shape)
        return
    rows = []
    for vocab in given.vocab:
        for dtype in given.dtype:
            shape = {"tokens": given.tokens, "width": given.width, "vocab": vocab, "dtype": dtype}
            new = compare(given.backends.split(","), shape, given.rounds)
            rows += new
            if not given.json:
                print(table(new), flush=True)
                keep(new)
    if given.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "src"))
    main()
