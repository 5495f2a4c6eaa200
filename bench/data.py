"""What data cost: building a token store beside the bare tokenizer, and reading it beside a step.

The text is generated: words of a made-up language by Zipf's law in documents of about 2 kB, in 8
domains. A store is built of an eighth of it and of all of it, each in a process of its own, whose
largest resident memory is compared. The bare tokenizer is the library's `encode_batch` over the
same documents, from memory. Reading is the time in which the loader gives a batch, without
sampler and with a composed one, as a share of the time of a training step at width 64.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "data.json"
DOMAINS = 8
FILE_BYTES = 32_000_000
SEPARATOR = "\n<|endoftext|>\n"
WANTED = {"rate": 0.8, "mebibytes_more": 30, "reading": 0.02}
SAMPLERS = {
    "uniform": [],
    "composed": [
        "sampler=temperature",
        "sampler/selection=random",
        "sampler.selection.fraction=0.8",
    ],
}


# -------------------------------------------------------------------------------------- the text


def documents(n_bytes: int, seed: int) -> Iterator[str]:
    """Documents of about so many bytes in all."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    rarity = 1 / np.arange(1, 27)
    words = np.array(
        [
            "".join(generator.choice(letters, n, p=rarity / rarity.sum()))
            for n in generator.integers(1, 12, 20_000)
        ]
    )
    share = np.cumsum(1 / np.arange(1, len(words) + 1))
    share /= share[-1]
    while n_bytes > 0:
        n_words = int(generator.integers(50, 700))
        text = " ".join(words[np.searchsorted(share, generator.random(n_words))])
        yield text
        n_bytes -= len(text)


def write_corpus(folder: Path, n_bytes: int) -> None:
    """Files of separated documents, a folder for each domain."""
    for domain in range(DOMAINS):
        own = n_bytes // DOMAINS
        for i in range(-(-own // FILE_BYTES)):
            size = min(FILE_BYTES, own - i * FILE_BYTES)
            file = folder / f"domain_{domain}" / f"{i}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(SEPARATOR.join(documents(size, seed=1000 * domain + i)))


# ---------------------------------------------------------------------------------- measurements


def settings(folder: str, cache: str) -> list[str]:
    """The config of a job on the generated text."""
    return [
        "name=bench",
        "data=text",
        f"data.path={folder}",
        f"paths.cache={cache}",
        "data.held_out=0.01",
        "trainer.progress=false",
        "schedule.warmup_tokens=0",
        "model.width=64",
    ]


def measure_build(folder: str, cache: str) -> dict[str, Any]:
    """Builds the store: seconds without and of the tokenizer's training, and memory in MiB."""
    from windtunnel.build import build_data
    from windtunnel.config import compose

    data = build_data(compose(overrides=settings(folder, cache)))
    stages: dict[str, float] = {}

    def note(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage, time.perf_counter())

    idle = resident()
    begin = time.perf_counter()
    data.build(note)
    seconds = time.perf_counter() - begin
    training = stages["encode"] - stages["tokenizer"]
    kept = data.digests["domains"].values()
    n_bytes = sum(d["train_bytes"] + d["held_out_bytes"] for d in kept)
    return {
        "bytes": n_bytes,
        "tokens": data.train_tokens,
        "documents": data.digests["n_documents"],
        "seconds": seconds - training,
        "tokenizer_seconds": training,
        "mebibytes_idle": idle,
        "mebibytes": resident(),
        "store": str(data.store.folder),
    }


def resident() -> float:
    """Largest resident memory of this process so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure_bare(store: str, n_bytes: int) -> dict[str, Any]:
    """Encodes generated documents with the store's tokenizer by the library alone."""
    import tokenizers

    definition = json.loads((Path(store) / "tokenizer.json").read_text())["tokenizer"]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(definition))
    texts = list(documents(n_bytes, seed=0))
    begin = time.perf_counter()
    for i in range(0, len(texts), 2048):
        tokenizer.encode_batch(texts[i : i + 2048], add_special_tokens=False)
    return {"bytes": sum(map(len, texts)), "seconds": time.perf_counter() - begin}


def measure_reading(folder: str, cache: str, sampler: str, batches: int) -> dict[str, Any]:
    """Median seconds in which the loader gives a batch, and those of opening it."""
    from windtunnel.build import build_data
    from windtunnel.config import compose

    budget = "budget.tokens=100_000_000"
    begin = time.perf_counter()
    cfg = compose(overrides=[*settings(folder, cache), budget, *SAMPLERS[sampler]])
    data = build_data(cfg)
    data.build(None)
    loader = iter(data.train_dataloader())
    next(loader)
    opening = time.perf_counter() - begin
    seconds = []
    for _ in range(batches):
        begin = time.perf_counter()
        next(loader)
        seconds.append(time.perf_counter() - begin)
    return {
        "seconds": statistics.median(seconds),
        "mean": statistics.mean(seconds),
        "open": opening,
    }


def measure_step(folder: str, cache: str, steps: int, overrides: list[str]) -> dict[str, Any]:
    """Seconds of a step of the default job at width 64, compiled unless told otherwise."""
    from windtunnel.config import compose
    from windtunnel.run import run

    warmup = 10
    own = settings(folder, cache)
    batch = compose(overrides=own).batch
    clock = f"{{_target_: clock.Clock, _partial_: true, warmup_steps: {warmup}}}"
    budget = f"budget.tokens={(steps + warmup) * batch.sequences * batch.length}"
    cfg = compose(
        overrides=[*own, budget, "trainer.compile=true", f"+callbacks.clock={clock}", *overrides]
    )
    with tempfile.TemporaryDirectory() as name:
        run(cfg, Path(name) / "job")
        timed = json.loads((Path(name) / "job" / "clock.json").read_text())
    return {"seconds": timed["seconds"] / timed["steps"]}


MEASURE = {
    "build": measure_build,
    "bare": measure_bare,
    "reading": measure_reading,
    "step": measure_step,
}


def in_process(what: str, **given: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, "--settings", json.dumps(given)]
    path = os.pathsep.join([str(HERE.parent / "src"), str(HERE)])
    environment = {**os.environ, "PYTHONPATH": path, "WINDTUNNEL_CACHE": given.get("cache", "")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# ------------------------------------------------------------------------------------ the results


def measure(
    root: Path, n_bytes: int, pairs: int, batches: int, steps: int, overrides: list[str]
) -> dict[str, Any]:
    """All measurements, with everything below `root`."""
    sizes = {"eighth": n_bytes // 8, "whole": n_bytes}
    builds: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
    bare: list[dict[str, Any]] = []
    for name, size in sizes.items():
        write_corpus(root / name, size)
    for pair in range(pairs):
        for name in sizes:
            cache = root / f"cache_{name}_{pair}"
            builds[name].append(in_process("build", folder=str(root / name), cache=str(cache)))
        store = builds["whole"][-1]["store"]
        bare.append(in_process("bare", store=store, n_bytes=min(n_bytes, 100_000_000)))
    same = {"folder": str(root / "whole"), "cache": str(root / "cache_whole_0")}
    reading = {s: in_process("reading", **same, sampler=s, batches=batches) for s in SAMPLERS}
    step = in_process("step", **same, steps=steps, overrides=overrides)
    rates = [b["bytes"] / b["seconds"] for b in builds["whole"]]
    bare_rates = [b["bytes"] / b["seconds"] for b in bare]
    memory = {n: statistics.median(b["mebibytes"] for b in built) for n, built in builds.items()}
    return {
        "bytes": builds["whole"][0]["bytes"],
        "documents": builds["whole"][0]["documents"],
        "tokens": builds["whole"][0]["tokens"],
        "build_bytes_per_second": rates,
        "bare_bytes_per_second": bare_rates,
        "tokenizer_seconds": [b["tokenizer_seconds"] for b in builds["whole"]],
        "rate": statistics.median(a / b for a, b in zip(rates, bare_rates, strict=True)),
        "mebibytes": memory,
        "mebibytes_more": memory["whole"] - memory["eighth"],
        "read_seconds": reading,
        "step_seconds": step["seconds"],
        "reading": {name: r["mean"] / step["seconds"] for name, r in reading.items()},
        "wanted": WANTED,
    }


def report(found: dict[str, Any]) -> str:
    """The measurements as text."""
    rate = statistics.median(found["build_bytes_per_second"]) / 1e6
    bare = statistics.median(found["bare_bytes_per_second"]) / 1e6
    memory = found["mebibytes"]
    lines = [
        f"{found['bytes'] / 1e6:.0f} MB, {found['documents']} documents, {found['tokens']} tokens",
        f"built at {rate:.2f} MB/s, bare tokenizer {bare:.2f} MB/s: {found['rate']:.2f} of it, "
        f"wanted at least {WANTED['rate']}",
        f"memory {memory['eighth']:.0f} MiB for an eighth, {memory['whole']:.0f} MiB for all, "
        f"wanted at most {WANTED['mebibytes_more']} MiB more",
    ]
    for name, share in found["reading"].items():
        seconds = found["read_seconds"][name]["mean"]
        lines.append(
            f"{name:9} batch read in {seconds * 1e3:.2f} ms of a step of "
            f"{found['step_seconds'] * 1e3:.1f} ms: {share:.1%}, wanted below "
            f"{WANTED['reading']:.0%}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the results and writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=3, help="of builds and bare tokenizers")
    parser.add_argument("--batches", type=int, default=500, help="to read")
    parser.add_argument("--steps", type=int, default=100, help="to train")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the step")
    parser.add_argument(
        "--folder", default=None, help="for text and stores; needs 8 times the text"
    )
    parser.add_argument("--measure", choices=MEASURE, help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(MEASURE[given.measure](**given.settings)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        sizes = (given.megabytes * 1_000_000, given.pairs, given.batches, given.steps, given.set)
        found = measure(Path(name), *sizes)
    print(report(found))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "src"))
    main()
