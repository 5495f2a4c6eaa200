"""A damaged token store is found out: some blocks whenever it is opened, all by a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.data.made import MadeSource, made_documents
from tests.made import made_record
from windtunnel import faults
from windtunnel.checkpoint import save_atomic
from windtunnel.config import ROOT
from windtunnel.data.packing import TRAIN
from windtunnel.data.store import BLOCK_BYTES, N_BLOCKS, Store, damage, map_file, open_store
from windtunnel.data.tokenizer import Bytes
from windtunnel.interfaces import Job


def opened(cache: Path, n_documents: int = 80) -> Store:
    source = MadeSource(made_documents(n_documents))
    return open_store(source, Bytes(), held_out=0.3, cache=cache, progress=None)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [TRAIN, "tokenizer.json", "meta.json"])
def test_a_flipped_bit_is_said_and_the_store_is_built_again(tmp_path: Path, name: str) -> None:
    store = opened(tmp_path)
    before = store.stream(TRAIN).copy()
    flip(store.folder / name, 3)
    map_file.cache_clear()
    with pytest.warns(
        UserWarning, match=rf"{store.folder} is damaged in {name}: it is built again"
    ):
        again = opened(tmp_path)
    assert (again.stream(TRAIN) == before).all()
    assert damage(again.folder) == []


def test_every_byte_is_checked_when_it_is_asked_for(tmp_path: Path) -> None:
    """A bit between the blocks that are looked at on opening."""
    store = opened(tmp_path, n_documents=2000)
    file = store.folder / TRAIN
    step = (file.stat().st_size - BLOCK_BYTES) / (N_BLOCKS - 1)
    assert step > 2 * BLOCK_BYTES
    flip(file, int(BLOCK_BYTES + step / 2))
    assert damage(store.folder) == [TRAIN]
    assert opened(tmp_path, n_documents=2000).folder == store.folder


def test_a_store_of_an_older_version_is_still_opened(tmp_path: Path) -> None:
    store = opened(tmp_path)
    meta = json.loads((store.folder / "meta.json").read_text())
    del meta["blocks"], meta["digests"]
    (store.folder / "meta.json").write_text(json.dumps(meta))
    assert opened(tmp_path).folder == store.folder
    (store.folder / TRAIN).write_bytes(b"x")
    map_file.cache_clear()
    with pytest.warns(UserWarning, match="is damaged"):
        opened(tmp_path)


def test_a_listing_that_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for path in (tmp_path / "known").iterdir():
        path.write_text("{")
    assert opened(tmp_path).folder == store.folder


@pytest.mark.parametrize(
    "point", ["store.before_rename", "store.after_rename", "meta.json.during_write"]
)
def test_a_build_that_breaks_off_at_a_point_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def strike(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt

    monkeypatch.setattr(faults, "watch", strike)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    monkeypatch.setattr(faults, "watch", None)
    store = opened(tmp_path)
    assert damage(store.folder) == []
    assert [path.name for path in (tmp_path / "stores").iterdir()] == [store.folder.name]


def test_the_command_names_all_that_is_damaged(tmp_path: Path, capsys: Any) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import check
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    store, jobs = opened(tmp_path / "cache"), tmp_path / "outputs"
    for name in ("a", "b"):
        save_atomic({"global_step": 1}, jobs / name / "checkpoints/last.ckpt")
        made_record(Job(name, "rung", {"model.width": 64, "seed": 1}), 2.0).save(jobs / name)
    assert list(check.problems(tmp_path)) == []
    flip(store.folder / TRAIN, 5)
    flip(jobs / "a/checkpoints/last.ckpt", 5)
    (jobs / "b/record.json").write_text("{")
    said = list(check.problems(tmp_path))
    assert len(said) == 3
    for one, path in zip(said, ("a/checkpoints/last.ckpt", "b/record.json", TRAIN), strict=True):
        assert path in one


@pytest.mark.slow
def test_the_command_ends_with_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/check.py"), str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0 damaged\n")
    (tmp_path / "record.json").write_text("{")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.endswith("1 damaged\n")
