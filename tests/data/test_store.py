from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.made import MadeSource, made_documents, sentence
from windtunnel.data import packing
from windtunnel.data.packing import START_DOMAINS, STARTS, TRAIN, held_out_name
from windtunnel.data.source import Document
from windtunnel.data.store import Store, map_file, open_store
from windtunnel.data.subwords import BytePairs
from windtunnel.data.text import TextFiles
from windtunnel.data.tokenizer import Bytes, Ids

EOT = 256


def opened(cache: Path, source: Any = None, spec: Any = None, **changes: Any) -> Store:
    settings: dict[str, Any] = {"held_out": 0.3, "cache": cache, "progress": None, **changes}
    return open_store(source or MadeSource(made_documents()), spec or Bytes(), **settings)


def split_at_separators(stream: np.ndarray) -> list[bytes]:
    assert stream[0] == stream[-1] == EOT
    ends = np.flatnonzero(stream == EOT)
    return [bytes(stream[a + 1 : b].astype(np.uint8)) for a, b in itertools.pairwise(ends)]


def test_every_document_stands_once_in_one_stream(tmp_path: Path) -> None:
    store = opened(tmp_path)
    train = split_at_separators(store.stream(TRAIN))
    held = [split_at_separators(store.stream(held_out_name(i))) for i in range(3)]
    assert sorted([*train, *itertools.chain(*held)]) == sorted(
        sentence(i).encode() for i in range(60)
    )
    assert all(held)
    for i, domain in enumerate(store.domains):
        assert domain.name == "abc"[i]
        assert domain.held_out_documents == len(held[i])
        assert domain.held_out_bytes == sum(map(len, held[i]))
        assert domain.held_out_tokens == domain.held_out_bytes + len(held[i])
        assert domain.train_documents + domain.held_out_documents == 20
    assert sum(domain.train_tokens for domain in store.domains) + 1 == len(store.stream(TRAIN))


def test_starts_say_where_documents_are_and_their_domain(tmp_path: Path) -> None:
    store = opened(tmp_path)
    stream = store.stream(TRAIN)
    starts = map_file(store.folder / STARTS, "int64")
    domains = map_file(store.folder / START_DOMAINS, "uint16")
    assert starts.tolist() == np.flatnonzero(stream == EOT)[:-1].tolist()
    domain_of = {str(d.content).encode(): "abc".index(d.domain) for d in made_documents()}
    assert domains.tolist() == [domain_of[text] for text in split_at_separators(stream)]


def test_a_second_time_nothing_is_read(tmp_path: Path) -> None:
    source = MadeSource(made_documents())
    first, again = opened(tmp_path, source), opened(tmp_path, source)
    assert source.n_reads == 1
    assert again.folder == first.folder
    assert again.meta == first.meta


def test_the_same_content_is_the_same_store(tmp_path: Path) -> None:
    one = opened(tmp_path)
    renamed = MadeSource([*made_documents(), made_documents()[0]])  # one more, a duplicate
    two = opened(tmp_path, renamed)
    assert two.folder == one.folder
    assert len(list((tmp_path / "stores").iterdir())) == 1


def test_text_tokenizer_and_split_make_another_store(tmp_path: Path) -> None:
    folders = {
        opened(tmp_path).folder,
        opened(tmp_path, MadeSource(made_documents(61))).folder,
        opened(tmp_path, held_out=0.5).folder,
        opened(tmp_path, spec=BytePairs(vocab_size=280, sample_bytes=10_000)).folder,
    }
    assert len(folders) == 4


def test_encoding_in_batches_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = opened(tmp_path / "1")
    monkeypatch.setattr(packing, "_BATCH_DOCUMENTS", 7)
    parts = opened(tmp_path / "2")
    assert (whole.stream(TRAIN) == parts.stream(TRAIN)).all()
    assert whole.meta == parts.meta


def test_ids_are_stored_as_they_are(tmp_path: Path) -> None:
    documents = [
        Document("x", np.arange(70_000), "t", "train"),
        Document("x", np.arange(9), "h", "held_out"),
    ]
    store = opened(tmp_path, MadeSource(documents, vocab_size=70_000), Ids())
    assert store.stream(TRAIN).tolist() == list(range(70_000))
    assert store.stream(held_out_name(0)).tolist() == list(range(9))
    assert store.tokenizer.vocab_size == 70_000
    assert store.meta["eot"] is None


@pytest.mark.parametrize(("vocab_size", "spec"), [(None, Ids()), (9, Bytes())])
def test_a_source_and_tokenizer_that_do_not_match_are_refused(
    tmp_path: Path, vocab_size: int | None, spec: Any
) -> None:
    source = MadeSource(made_documents(), vocab_size=vocab_size)
    with pytest.raises(ValueError, match=r"tokenizer: expected one for a source that gives"):
        opened(tmp_path, source, spec)
    assert not list(tmp_path.iterdir())


def test_a_source_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data: expected text, got only blank documents from"):
        opened(tmp_path, MadeSource([]))
    assert not list((tmp_path / "stores").iterdir())


def test_replaced_bytes_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\n<|endoftext|>\n".join(b"text \xff %d" % i for i in range(20)))
    source = TextFiles(path=str(file), pattern="*", invalid_utf8="replace")
    assert opened(tmp_path / "cache", source).meta["n_replaced"] == 20


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    opened(tmp_path, progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    assert list(seen) == ["read", "tokenizer", "encode"]
    n_bytes = sum(len(sentence(i)) for i in range(60))
    assert seen["encode"] == (n_bytes, n_bytes)


def test_a_damaged_store_is_built_again(tmp_path: Path) -> None:
    source = MadeSource(made_documents())
    store = opened(tmp_path, source)
    before = store.stream(TRAIN).tolist()
    (store.folder / TRAIN).write_bytes(b"x")
    map_file.cache_clear()
    with pytest.warns(UserWarning, match=f"is damaged in {TRAIN}: it is built again"):
        again = opened(tmp_path, source)
    assert source.n_reads == 2
    assert again.stream(TRAIN).tolist() == before


@pytest.mark.parametrize("stage", ["read", "encode"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, stage: str) -> None:
    def fill(now: str, done: int, total: int) -> None:
        if now == stage:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ValueError, match=r"paths\.cache: expected space .*No space left on dev"):
        opened(tmp_path, progress=fill)
    assert not list((tmp_path / "stores").iterdir())
    assert not (tmp_path / "known").exists()
    opened(tmp_path)


def test_other_faults_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    def break_off(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        opened(tmp_path, progress=break_off)
    assert not list((tmp_path / "stores").iterdir())


BUILD = textwrap.dedent(
    """
    import resource, sys, time
    from pathlib import Path
    from tests.data.made import MadeSource, made_documents
    from windtunnel.data.store import open_store
    from windtunnel.data.text import TextFiles
    from windtunnel.data.tokenizer import Bytes

    def build(source, cache, progress=None):
        return open_store(
            source, Bytes(), held_out=0.3, cache=Path(cache), progress=progress
        )
    """
)


def python(code: str, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
    """Runs code in a process of its own, with `build` at hand."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    return subprocess.Popen(
        [sys.executable, "-c", BUILD + textwrap.dedent(code), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.faults
def test_a_real_limit_on_file_size_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    try:
        build(MadeSource(made_documents(600)), sys.argv[1])
    except ValueError as error:
        print(error)
    """
    with python(code, tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert "paths.cache: expected space for the token store" in out, err
    assert not list((tmp_path / "stores").iterdir())


@pytest.mark.faults
def test_a_killed_build_leaves_nothing_half_made(tmp_path: Path) -> None:
    code = """
    def wait(stage, done, total):
        if stage == "encode":
            print("now", flush=True)
            time.sleep(600)
    build(MadeSource(made_documents()), sys.argv[1], wait)
    """
    with python(code, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert [folder.suffix for folder in (tmp_path / "stores").iterdir()] == [".part"]
    assert not (tmp_path / "known").exists()
    store = opened(tmp_path)
    assert [folder.name for folder in (tmp_path / "stores").iterdir()] == [store.folder.name]


@pytest.mark.faults
def test_processes_at_once_build_once(tmp_path: Path) -> None:
    code = """
    def slow(stage, done, total):
        if stage == "encode":
            time.sleep(1)
    source = MadeSource(made_documents())
    build(source, sys.argv[1], slow)
    print(source.n_reads)
    """
    processes = [python(code, tmp_path) for _ in range(3)]
    outs = [process.communicate(timeout=120)[0] for process in processes]
    assert sorted(outs) == ["0\n", "0\n", "1\n"]


@pytest.mark.slow
def test_memory_is_constant(tmp_path: Path) -> None:
    code = """
    build(TextFiles(path=sys.argv[1], pattern="*", invalid_utf8="refuse"), sys.argv[2])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    peaks = []
    for n_megabytes in (24, 240):
        folder = tmp_path / str(n_megabytes)
        folder.mkdir()
        text = "".join(f"{i} {sentence(i)}" for i in range(6000))
        for i in range(n_megabytes):
            (folder / f"{i}.txt").write_text((f"file {i}\n" + text)[:1_000_000])
        with python(code, folder, tmp_path / f"cache {n_megabytes}") as process:
            out, err = process.communicate(timeout=600)
        assert not err
        peaks.append(int(out) / 1024)
    assert peaks[1] < peaks[0] + 30  # MiB


@pytest.mark.slow
def test_the_standard_library_opens_in_a_moment(tmp_path: Path) -> None:
    from windtunnel.data.stdlib import StandardLibrary

    source = StandardLibrary(folder=None)
    first = opened(tmp_path, source)
    start = time.perf_counter()
    assert opened(tmp_path, StandardLibrary(folder=None)).folder == first.folder
    assert time.perf_counter() - start < 1
