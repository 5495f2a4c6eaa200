from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import lightning.pytorch.loggers as lightning_loggers
import pytest
import wandb
import yaml

from tests.callbacks.tiny import QUIET, TinyData, TinyModule, make_facts, make_trainer
from windtunnel.callbacks.facts import JobFacts
from windtunnel.callbacks.loggers import (
    MODES,
    close,
    csv_logger,
    has_account,
    tensorboard_logger,
    wandb_id,
    wandb_logger,
    wandb_mode,
)
from windtunnel.callbacks.scaling_log import ScalingLog

pytestmark = QUIET
CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HOME", str(tmp_path))
    return {"NETRC": str(tmp_path / "netrc")}


def write_netrc(path: str, host: str) -> None:
    Path(path).write_text(f"machine {host}\n  login user\n  password {'k' * 40}\n")
    Path(path).chmod(0o600)


def test_account_from_key_or_netrc(nobody: dict[str, str]) -> None:
    assert not has_account(nobody)
    assert has_account({**nobody, "WANDB_API_KEY": "k"})
    write_netrc(nobody["NETRC"], "api.wandb.ai")
    assert has_account(nobody)
    own = {**nobody, "WANDB_BASE_URL": "https://wandb.example.org:8080"}
    assert not has_account(own)
    write_netrc(nobody["NETRC"], "wandb.example.org")
    assert has_account(own)
    Path(nobody["NETRC"]).write_text("machine\n")
    assert not has_account(own)


def test_mode(nobody: dict[str, str]) -> None:
    assert wandb_mode("auto", nobody) == "offline"
    assert wandb_mode("auto", {**nobody, "WANDB_API_KEY": "k"}) == "online"
    assert wandb_mode("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}) == "offline"
    assert wandb_mode("disabled", {"WANDB_API_KEY": "k"}) == "disabled"
    with pytest.raises(ValueError, match=r"logger\.wandb\.mode: expected one of .*, got 'of'"):
        wandb_mode("of", nobody)
    assert all(wandb_mode(mode, nobody) in MODES for mode in MODES)


def do_job(facts: JobFacts, logger: Any, *, fail: bool = False) -> None:
    facts.folder.mkdir(exist_ok=True)

    def on_step(module: TinyModule, step: int) -> None:
        if fail and step == 3:
            raise RuntimeError("as the test wants")

    failed = True
    try:
        trainer = make_trainer([ScalingLog(facts)], logger=logger, enable_checkpointing=False)
        trainer.fit(TinyModule(on_step=on_step), TinyData())
        failed = False
    finally:
        close([logger], failed=failed)


def test_wandb_runs_of_one_process_are_apart(tmp_path: Path) -> None:
    runs = []
    for i, fail in enumerate([False, True, False]):
        facts = make_facts(tmp_path / str(i), job=f"job{i}", config={"i": i})
        facts.folder.mkdir()
        logger = wandb_logger(facts, "study", project="p", entity=None, mode="offline", tags=["t"])
        run = logger.experiment
        runs.append((run.group, run.job_type, run.project, run.name, run.config["i"]))
        assert run.id == wandb_id(facts)
        assert run.settings.x_disable_stats
        assert run.settings.silent
        if fail:
            with pytest.raises(RuntimeError, match="as the test wants"):
                do_job(facts, logger, fail=True)
        else:
            do_job(facts, logger)
        assert wandb.run is None
        assert len(list(facts.folder.glob(f"wandb/offline-run-*-{run.id}/run-{run.id}.wandb"))) == 1
    assert runs == [("study", "rung", "p", "tiny", i) for i in range(3)]


def test_a_wandb_run_belongs_to_a_folder_and_not_to_a_config(tmp_path: Path) -> None:
    first, resumed, fresh = (make_facts(tmp_path / name) for name in ("job", "job", "job-2"))
    run = wandb_id(first)
    assert run.startswith(f"{first.job}-")
    assert wandb_id(resumed) == run != wandb_id(fresh)
    assert wandb_id(make_facts((tmp_path / "job").rename(tmp_path / "moved"))) == run


def test_closing_starts_no_run(tmp_path: Path) -> None:
    facts = make_facts(tmp_path)
    logger = wandb_logger(facts, "g", project="p", entity=None, mode="offline", tags=[])
    close([logger], failed=True)
    assert wandb.run is None
    assert not (tmp_path / "wandb").exists()


def test_csv_and_tensorboard_write_into_the_jobs_folder(tmp_path: Path) -> None:
    facts = make_facts(tmp_path)
    do_job(facts, csv_logger(facts, "g", seconds=1.0))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1 + 1 + 8
    do_job(facts, tensorboard_logger(facts, "g", flush_secs=1))
    assert len(list(tmp_path.glob("tensorboard/events.*"))) == 1
    assert not (Path.cwd() / "lightning_logs").exists()


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_every_entry_states_all_that_its_target_takes(group: str) -> None:
    files = sorted((CONF / group).glob("*.yaml"))
    assert files
    for path in files:
        entries = yaml.safe_load(path.read_text())
        entries.pop("defaults", None)
        for name, entry in entries.items():
            room, _, part = entry.pop("_target_").rpartition(".")
            assert entry.pop("_partial_") is True, name
            target = getattr(__import__(room, fromlist=[part]), part)
            takes = set(inspect.signature(target).parameters) - {"facts", "group"}
            assert set(entry) == takes, name
            assert "facts" in inspect.signature(target).parameters


def test_wandb_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    facts = make_facts(tmp_path)
    logger = wandb_logger(facts, "g", project="p", entity=None, mode="offline", tags=[])
    assert isinstance(logger, lightning_loggers.WandbLogger)
    do_job(facts, logger)
    assert "WANDB_MODE" not in os.environ
