"""Damaged input of every kind: it ends in a clear error, or in what it would have been undamaged.

Every case is drawn from its number alone. The fast tests take a sample, `make test-faults` all.
"""

from __future__ import annotations

import copy
import csv
import json
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tests.data.made import MadeSource, made_documents
from tests.faults.jobs import composed, corpus
from tests.made import made_record
from windtunnel import config, folder
from windtunnel.callbacks.csv_logger import CsvLogger
from windtunnel.checkpoint import read, save_atomic
from windtunnel.data.store import map_file, open_store
from windtunnel.data.tokenizer import Bytes
from windtunnel.interfaces import Job, Record
from windtunnel.optim.schedule_table import ScheduleTable
from windtunnel.run import prepare, remembered
from windtunnel.scaling.table import read_table

# What train.py answers with one message and an exit code.
CLEAR = (ValueError, HydraException, OmegaConfBaseException)
JUNK = [
    None, "", "abc", "\0", "1e-4", "é" * 50, -1, 0, 0.5, 3, 7919, 1e-300, float("nan"), True,
    float("inf"), [], [1, "a", None], {}, {"a": 1}, {"_target_": "os.system"}, {"_target_": 3},
    "${none}", "???", "${seed}",
]  # fmt: skip
CASES = {
    "values": 160, "overrides": 60, "record": 120, "checkpoint": 100, "store": 60, "table": 100,
    "schedule": 60, "metrics": 60, "choices": 30, "folder": 30,
}  # fmt: skip
IN_SAMPLE = 20  # one of so many
NUMBERS = [
    pytest.param(
        kind, n, marks=[] if n % IN_SAMPLE == 1 else [pytest.mark.slow, pytest.mark.faults]
    )
    for kind, count in CASES.items()
    for n in range(count)
]


def test_there_are_enough_cases() -> None:
    assert sum(CASES.values()) >= 500


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    text = corpus(tmp_path_factory.mktemp("fuzz") / "text")
    return config.plain(composed(text, "averaging=ema"))


@pytest.mark.parametrize(("kind", "number"), NUMBERS)
def test_damaged_input_is_refused_or_does_no_harm(
    kind: str,
    number: int,
    values: dict[str, Any],
    tmp_path: Path,
    record_property: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = "as if undamaged"
    draw = random.Random(f"{kind} {number}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            HARM[kind](draw, tmp_path, values)
        except CLEAR as error:
            said = str(error)
            assert len(said.strip()) > 10, said
            assert "Traceback" not in said
            ended = "clear error"
    record_property("counts", (f"damaged {kind}", {ended: 1}))


# ---------------------------------------------------------------------------- how to damage


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Bytes with something cut, changed, put in or taken out."""
    n = len(content)
    a, b = sorted((draw.randrange(n + 1), draw.randrange(n + 1)))
    noise = draw.randbytes(draw.choice((1, 8, 200)))
    how = draw.randrange(7)
    if how == 0:
        return content[:a]
    if how == 1:
        return content[:a] + noise + content[a:]
    if how == 2:
        return content[:a] + content[min(n, a + draw.choice((1, 5, 100))) :]
    if how == 3:
        return content[:a] + noise + content[a + len(noise) :]
    if how == 4:
        return content[:a] + bytes(b - a) + content[b:]
    if how == 5:
        return draw.choice((b"", b"\n", b"[]", b"{}", b"null", b"3", noise))
    return content[:a] + bytes([content[a] ^ (1 << draw.randrange(8))]) + content[a + 1 :]


def damaged_text(draw: random.Random, text: str) -> bytes:
    """As above, or a cell or number exchanged for junk."""
    words = text.replace(",", " , ").split(" ")
    if draw.random() < 0.5:
        words[draw.randrange(len(words))] = draw.choice(("", "nan", "-1", "inf", '"', "a,b", "0"))
        return " ".join(words).replace(" , ", ",").encode()
    return damaged(draw, text.encode())


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of nested values, as its container and its key."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in pairs:
        yield tree, key
        if isinstance(value, dict | list):
            yield from places(value)


def spoilt(draw: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """Nested values with one or two of them exchanged, taken out or put in."""
    tree = copy.deepcopy(tree)
    for _ in range(draw.choice((1, 1, 1, 2))):
        held, key = draw.choice(list(places(tree)))
        how = draw.randrange(5)
        if how == 0 and isinstance(held, dict):
            del held[key]
        elif how == 1 and isinstance(held, dict):
            held[draw.choice(("extra", "", "a.b", "_target_", "_partial_"))] = draw.choice(JUNK)
        else:
            held[key] = draw.choice(JUNK)
    return tree


# ---------------------------------------------------------------------------- what is damaged


def spoil_values(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    cfg = OmegaConf.create(spoilt(draw, values))
    config.check_values(config.plain(cfg))
    prepare(cfg)


def spoil_overrides(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    text = draw.choice(
        (
            "optim=muon", "model.width=64", "+recipe=quickstart", "budget.tokens=1_000",
            "loss=focal", "callbacks.record.points=[1,2]", "optim.build.betas=[0.9,0.95]",
            "~averaging", "seed=3",
        )
    )  # fmt: skip
    raw = damaged(draw, text.encode()).decode(errors="replace")
    config.compose(None, [raw])


def spoil_record(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    job = Job("w64", "rung", {"model.width": 64, "seed": 1})
    path = made_record(job, 2.5).save(home)
    text = path.read_text()
    if draw.random() < 0.5:
        path.write_text(json.dumps(spoilt(draw, json.loads(text))))
    else:
        path.write_bytes(damaged(draw, text.encode()))
    folder.finished(home)
    read_table(home)
    assert isinstance(Record.load(home).evaluation, object)


def spoil_checkpoint(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    path, state = home / "last.ckpt", {"global_step": 3, "state_dict": {"w": torch.arange(300.0)}}
    save_atomic(state, path)
    path.write_bytes(damaged(draw, path.read_bytes()))
    found = read(path)
    assert found["global_step"] == 3
    assert torch.equal(found["state_dict"]["w"], state["state_dict"]["w"])


def spoil_store(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    source = MadeSource(made_documents())

    def opened() -> Any:
        return open_store(source, Bytes(), held_out=0.3, cache=home, progress=None)

    store = opened()
    streams = {
        name: store.stream(name).copy() for name in store.meta["files"] if "json" not in name
    }
    known = home / "known"
    file = draw.choice([*sorted(store.folder.iterdir()), *sorted(known.iterdir())])
    file.write_bytes(damaged(draw, file.read_bytes()))
    map_file.cache_clear()
    again = opened()
    assert again.tokenizer.vocab_size == store.tokenizer.vocab_size
    for name, stream in streams.items():
        assert (again.stream(name) == stream).all()


def spoil_table(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    rows = "\n".join(f"{10**i},{20 * 10**i},{4 - i / 3:.3f}" for i in range(5))
    path = home / "runs.csv"
    path.write_bytes(damaged_text(draw, f"N,D,loss\n{rows}\n"))
    table = read_table(path)
    assert len(table) >= 1


def spoil_schedule(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    path = home / "table.csv"
    path.write_bytes(damaged_text(draw, "tokens,multiplier\n0,0\n100,1\n800,0.2\n"))
    multiplier = ScheduleTable(path=str(path))(50, 100)
    assert multiplier >= 0


def spoil_metrics(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    path = home / "metrics.csv"
    text = "step,a,b\r\n" + "".join(f"{n},{n / 2},{n}\r\n" for n in range(9))
    path.write_bytes(damaged_text(draw, text))
    logger = CsvLogger(home, seconds=0.0)
    logger.log_metrics({"a": 5.0}, 9)
    logger.finalize("success")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["step"] == "9"
    assert rows[-1]["a"] == "5.0"


def spoil_choices(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    path = home / "choices.json"
    path.write_bytes(damaged(draw, json.dumps({"threads": 1, "compile": False}).encode()))
    assert isinstance(remembered(path, dict), dict)


def spoil_folder(draw: random.Random, home: Path, values: dict[str, Any]) -> None:
    path = home / "config.json"
    path.write_bytes(damaged(draw, json.dumps(values).encode()))
    folder.refuse_other(home, values, config.job_digest)
    assert json.loads(path.read_text())["seed"] == values["seed"]


HARM: dict[str, Callable[[random.Random, Path, dict[str, Any]], None]] = {
    "values": spoil_values,
    "overrides": spoil_overrides,
    "record": spoil_record,
    "checkpoint": spoil_checkpoint,
    "store": spoil_store,
    "table": spoil_table,
    "schedule": spoil_schedule,
    "metrics": spoil_metrics,
    "choices": spoil_choices,
    "folder": spoil_folder,
}
