from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.callbacks.tiny import (
    QUIET,
    TOKENS_PER_STEP,
    TinyData,
    TinyModule,
    make_facts,
    make_trainer,
)
from windtunnel.callbacks import progress
from windtunnel.callbacks.progress import Progress, line, write_progress

pytestmark = QUIET
TOTAL = 40 * TOKENS_PER_STEP


def test_file_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_progress(tmp_path, "compile", 0, 10)
    write_progress(tmp_path, "train", 5, 10)
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]
    values = json.loads((tmp_path / "progress.json").read_text())
    assert values == {"tokens": 5, "total_tokens": 10, "stage": "train"}


def test_stages_and_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, now = [], [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "write_progress", lambda f, *values: written.append(values))

    def tick(module: TinyModule, step: int) -> None:
        now[0] += 0.25

    watching = Progress(make_facts(tmp_path), show=False)
    trainer = make_trainer([watching], evaluate_every=20, enable_checkpointing=False)
    trainer.fit(TinyModule(on_step=tick), TinyData())
    assert written[0] == ("compile", 0, TOTAL)
    steps = {stage: [t // TOKENS_PER_STEP for s, t, _ in written if s == stage]
             for stage in ("train", "evaluate")}  # fmt: skip
    assert steps["evaluate"] == [20, 40]
    assert steps["train"] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 40]


def test_line_says_how_long_it_will_take() -> None:
    assert line("train", 250, 1000, 50.0, 3.14159) == (
        "train: 25% of 1,000 tokens, loss 3.142, 50 tokens/s, 15 s left"
    )
    assert line("compile", 0, 1000, 0.0, None) == "compile: 0% of 1,000 tokens"


@pytest.mark.parametrize(("terminal", "show"), [(True, True), (True, False), (False, True)])
def test_line_is_for_terminals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    terminal: bool,
    show: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    watching = Progress(make_facts(tmp_path), show=show)
    make_trainer([watching], enable_checkpointing=False).fit(TinyModule(), TinyData())
    shown = [text for text in capsys.readouterr().err.splitlines() if "tokens" in text]
    assert bool(shown) == (terminal and show)
    if shown:
        assert "train: 100% of 1,280 tokens, loss " in shown[-1]
