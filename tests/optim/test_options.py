"""Every optimiser, schedule and average of `conf/` trains two steps and leaves its record."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from windtunnel.config import CONF, compose
from windtunnel.interfaces import Record
from windtunnel.run import prepare, run

OPTIONS = [
    f"{group}={path.stem}"
    for group in ("optim", "schedule", "averaging")
    for path in sorted((CONF / group).glob("*.yaml"))
]
SEQUENCES, LENGTH, STEPS = 4, 16, 2


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some text, and a table of learning rates."""
    folder = tmp_path_factory.mktemp("options")
    (folder / "text").mkdir()
    texts = [f"document {i} says {i % 7} and then {i % 3} again " * 4 for i in range(30)]
    (folder / "text/train.txt").write_text("\n<|endoftext|>\n".join(texts))
    (folder / "rates.csv").write_text("tokens,multiplier\n0,1\n100000,0.5\n")
    return folder


def settings(home: Path, *more: str) -> list[str]:
    warmup = [] if "schedule=table" in more else ["schedule.warmup_tokens=0"]
    table = [f"schedule.path={home / 'rates.csv'}"] if "schedule=table" in more else []
    return [
        "data=text",
        f"data.path={home / 'text'}",
        "tokenizer=bytes",
        f"paths.outputs={home}",
        "data.eval_tokens=200",
        f"budget.tokens={STEPS * SEQUENCES * LENGTH}",
        "budget.evaluations=2",
        f"batch.sequences={SEQUENCES}",
        f"batch.length={LENGTH}",
        "model.width=16",
        "model.depth=1",
        "model.head_size=8",
        "trainer.compile=false",
        "trainer.precision=32-true",
        "trainer.progress=false",
        *warmup,
        *table,
        *more,
    ]


def test_there_are_options() -> None:
    assert {"optim=muon", "optim=eco", "schedule=wsd_sqrt", "averaging=lawa"} <= set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_smoke(home: Path, option: str) -> None:
    often = ["callbacks.averaging.every_tokens=1"] if option.startswith("averaging") else []
    folder = home / option
    loss = run(compose(None, settings(home, option, *often)), folder)
    assert math.isfinite(loss)
    assert loss < math.log(300)
    record = Record.load(folder)
    assert record.outcome == "finished"
    assert record.steps == STEPS
    if often:
        averaged = record.measurements["averaged"]
        assert averaged["curve"]["tokens"] == record.eval_curve.tokens
        assert averaged["evaluation"]["n_tokens"] == record.evaluation.n_tokens


def test_an_average_changes_nothing_but_what_is_measured(home: Path) -> None:
    records = []
    for name, more in (("plain", []), ("averaged", ["averaging=ema"])):
        run(compose(None, settings(home, *more)), home / name)
        records.append(Record.load(home / name))
    assert records[0].train_curve == records[1].train_curve
    assert records[0].eval_curve == records[1].eval_curve
    assert "eval_averaged/loss" in (home / "averaged/metrics.csv").read_text()


def test_the_default_config_knows_no_average(home: Path) -> None:
    cfg = compose(None, settings(home))
    assert "averaging" not in cfg
    assert "averaging" not in cfg.callbacks


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["optim.lr=0"], r"optim\.lr must be above 0"),
        (["optim.build.betas=[0.9,1.5]"], "Invalid beta parameter at index 1: 1.5"),
        (["optim=muon", "optim.build.scale=wrong"], r"optim\.build\.scale must be original or"),
        (["optim=muon", "optim.build.steps=0"], r"optim\.build\.steps must be 1 or more"),
        (["optim=eco", "optim.build.rule.betas=[0,0.95]"], r"optim\.build\.rule: a momentum must"),
        (["schedule=wsd_sqrt", "schedule.shape=cubic"], r"schedule\.shape must be linear, one"),
        (["schedule=wsd_sqrt", "schedule.decay_fraction=2"], "the decay must lie between"),
        (["schedule.final=-0.1"], r"schedule\.final must lie in \[0, 1\]"),
        (["schedule=table", "schedule.path=nowhere.csv"], r"schedule\.path: expected a CSV file"),
    ],
)
def test_a_bad_setting_is_said_before_any_work(home: Path, more: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(compose(None, settings(home, *more)))
