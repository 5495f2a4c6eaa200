from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from windtunnel import checkpoint
from windtunnel.checkpoint import (
    KEPT,
    AtomicCheckpointIO,
    before,
    by_step,
    check,
    checkpoint_path,
    find,
    generations,
    kept_path,
    load_weights,
    newest,
    read,
    save_atomic,
)


def test_saved_and_read(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path)
    assert find(tmp_path) is None
    save_atomic({"state_dict": {"a": torch.arange(3)}, "step": 2}, path)
    assert find(tmp_path) == path
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    assert torch.equal(read(path)["state_dict"]["a"], torch.arange(3))


def test_lightning_saves_and_loads_through_it(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"step": 1}, str(tmp_path / "a" / "last.ckpt"))
    assert AtomicCheckpointIO().load_checkpoint(tmp_path / "a" / "last.ckpt") == {"step": 1}
    (tmp_path / "bad.ckpt").write_bytes(b"bad")
    with pytest.raises(ValueError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "bad.ckpt", weights_only=False)


def test_older_ones_stay_and_are_known_by_their_step(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path)
    for step in (3, 5, 8):
        save_atomic({"global_step": step}, path)
    assert [p.name for p in generations(tmp_path)] == ["last.ckpt", "last-1.ckpt"]
    assert len(generations(tmp_path)) == KEPT == len(list(path.parent.iterdir()))
    save_atomic({"global_step": 4}, kept_path(tmp_path, 128))
    found = by_step(tmp_path)
    assert list(found) == [4, 5, 8]
    assert read(found[5])["global_step"] == 5
    before(path, 1).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"last-1\.ckpt is damaged.*left out"):
        assert list(by_step(tmp_path)) == [4, 8]


def test_a_damaged_newest_one_is_named_and_the_one_before_it_taken(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path)
    for step in (3, 5):
        save_atomic({"global_step": step}, path)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.warns(UserWarning, match=r"last\.ckpt is damaged.*going on from last-1\.ckpt"):
        assert find(tmp_path) == before(path, 1)
    before(path, 1).write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match=r"last-1\.ckpt is damaged.*bring one back from a copy"):
        find(tmp_path)


def test_one_that_was_moved_away_and_not_yet_replaced_leaves_the_one_before(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path)
    save_atomic({"global_step": 3}, path)
    path.replace(before(path, 1))
    assert newest(tmp_path) == before(path, 1)
    with pytest.raises(ValueError, match=r"there is no checkpoint at .*give the folder of a job"):
        newest(tmp_path / "none")


def test_plain_torch_reads_over_the_line_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_atomic({"global_step": 12, "w": torch.arange(5)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["w"], torch.arange(5))
    *_, end = path.read_bytes().splitlines()
    assert re.fullmatch(rb"windtunnel step 0{13}12 sha256 [0-9a-f]{64}", end)
    assert check(path) == 12


def test_a_checkpoint_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read: Is a directory"):
        check(tmp_path / "last.ckpt")


def break_off(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["torch.save", "windtunnel.files.os.fsync"])
def test_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "last.ckpt"
    monkeypatch.setattr(where, break_off)
    with pytest.raises(ValueError, match=r"last\.ckpt: .*No space left.*; there is none before it"):
        save_atomic({"step": 1}, path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    save_atomic({"step": 1}, path)
    monkeypatch.setattr(where, break_off)
    with pytest.raises(ValueError, match=r"what was there before is kept. Free disk space"):
        save_atomic({"step": 2}, path)
    assert read(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def save_with_little_room(path: Path) -> None:
    """A file system that takes 64 KiB a file: the kernel itself refuses the write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    save_atomic({"state_dict": torch.zeros(1 << 20)}, path)


@pytest.mark.faults
def test_refused_write_of_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_atomic({"step": 1}, path)
    code = (
        "import runpy, sys, pathlib; "
        f"g = runpy.run_path({__file__!r}); g['save_with_little_room'](pathlib.Path({str(path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ValueError: could not write {path}: File too large; " in done.stderr
    assert read(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.faults
def test_kill_while_writing_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_atomic({"step": 1}, path)
    code = (
        "import pathlib; import windtunnel.checkpoint as c; "
        f"c.save_atomic({{'step': 2}}, pathlib.Path({str(path)!r}))"
    )
    environment = os.environ | {"WINDTUNNEL_FAULT": "last.ckpt.during_write"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read(path) == {"step": 1}


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no checkpoint at"):
        read(tmp_path / "last.ckpt")


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "code"])
def test_damaged_checkpoint(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "last.ckpt"
    save_atomic({"state_dict": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello", "cut": whole[:2000], "code": b""}[kind])
    if kind == "code":
        save_atomic({"path": checkpoint.AtomicCheckpointIO()}, path)
    said = "cannot be read with weights_only=True" if kind == "code" else "its digest is not that"
    with pytest.raises(ValueError, match=said):
        read(path)


def test_weights_go_into_a_model(tmp_path: Path) -> None:
    path, source, target = tmp_path / "last.ckpt", nn.Linear(3, 2), nn.Linear(3, 2)
    state = {f"net.{name}": value for name, value in source.state_dict().items()}
    save_atomic({"state_dict": {**state, "metric.total": torch.zeros(1)}}, path)
    load_weights(target, path, "net.")
    assert torch.equal(source.weight, target.weight)
    with pytest.raises(ValueError, match="do not fit the model"):
        load_weights(nn.Linear(4, 2), path, "net.")
