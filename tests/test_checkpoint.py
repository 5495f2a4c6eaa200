from __future__ import annotations

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
    AtomicCheckpointIO,
    checkpoint_path,
    find,
    load_weights,
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
    with pytest.raises(ValueError, match="cannot be read"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "bad.ckpt", weights_only=False)


def break_off(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["torch.save", "windtunnel.checkpoint.os.fsync"])
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
    with pytest.raises(ValueError, match=r"the checkpoint before it is kept. Free disk space"):
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
    assert f"ValueError: could not write the checkpoint {path}: File too large; " in done.stderr
    assert read(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.faults
def test_kill_while_writing_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_atomic({"step": 1}, path)
    code = (
        "import os, signal, torch, pathlib; import windtunnel.checkpoint as c; "
        "c.os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL); "
        f"c.save_atomic({{'step': 2}}, pathlib.Path({str(path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
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
        torch.save({"path": checkpoint.AtomicCheckpointIO()}, path)
    with pytest.raises(ValueError, match="cannot be read with weights_only=True"):
        read(path)


def test_weights_go_into_a_model(tmp_path: Path) -> None:
    path, source, target = tmp_path / "last.ckpt", nn.Linear(3, 2), nn.Linear(3, 2)
    state = {f"net.{name}": value for name, value in source.state_dict().items()}
    save_atomic({"state_dict": {**state, "metric.total": torch.zeros(1)}}, path)
    load_weights(target, path, "net.")
    assert torch.equal(source.weight, target.weight)
    with pytest.raises(ValueError, match="do not fit the model"):
        load_weights(nn.Linear(4, 2), path, "net.")
