from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts import stability
from tests.made import made_record
from windtunnel.interfaces import Job


def write(folder: Path, growth: float, **changes: Any) -> None:
    """Four sizes at one rate, whose attention logit grows as a power of N."""
    for width in (32, 64, 128, 256):
        job = Job(f"w{width}", "rung", {"model.width": width, "seed": 1})
        n = 12 * width**2
        measurements = {
            "attention_logits": {
                "steps": [0, 100], "tokens": [0, 1],
                "blocks": {"0": [1.0, (n / 1e4) ** growth], "1": [0.5, 0.5]},
            },
            "role_sizes": {"steps": [1], "gradient_to_eps": {"hidden": [1e4], "vector": [2e4]}},
        }  # fmt: skip
        values: dict[str, Any] = {
            "measurements": measurements,
            "parameters": {"non_embedding": n},
            "config": {"optim": {"lr": 0.01}},
        }
        (folder / job.name).mkdir(parents=True)
        made_record(job, 3.0, **(values | changes)).save(folder / job.name)


def test_planted_growth_is_said_before_it_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, growth=1.0)  # 1e3 at N = 1e7, 1e4 at 1e8
    assert stability.main([str(tmp_path), "--target-n", "1e9"]) == 1
    words = " ".join(capsys.readouterr().out.split())
    assert "attention logit, of runs at step 100" in words
    assert "attention logit at learning rate 0.01 is predicted to be 1e+05 at N = 1e+09" in words
    assert "runs are lost from N = 1e+08 on" in words
    assert "RMS(gradient) / eps, of runs at step 1" in words


def test_what_stays_calm_is_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, growth=0.1)
    assert stability.main([str(tmp_path), "--target-n", "1e9"]) == 0
    assert "note" not in capsys.readouterr().out


def test_runs_that_measured_nothing_are_of_no_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, growth=1.0, measurements={})
    assert stability.main([str(tmp_path), "--target-n", "1e9"]) == 2
    assert "got 0 of 4: train them with callbacks=drift" in capsys.readouterr().err
    assert stability.main([str(tmp_path / "none"), "--target-n", "1e9"]) == 2
