from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from windtunnel.data import text
from windtunnel.data.text import TextFiles

SEPARATOR = "\n<|endoftext|>\n"


def source(path: Path | list[str], **changes: Any) -> TextFiles:
    settings: dict[str, Any] = {"pattern": "*", "invalid_utf8": "replace", **changes}
    return TextFiles(path=path if isinstance(path, list) else str(path), **settings)


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_a_tree_has_a_domain_for_each_subfolder(tmp_path: Path) -> None:
    write(tmp_path / "corpus/news/one.txt", f"first{SEPARATOR}second{SEPARATOR} \n")
    write(tmp_path / "corpus/news/deeper/two.txt", "third")
    write(tmp_path / "corpus/code/three.py", "fourth")
    write(tmp_path / "corpus/.hidden/x.txt", "no")
    write(tmp_path / "corpus/loose.txt", "fifth")
    found = [(d.domain, d.content, d.split) for d in source(tmp_path / "corpus").documents()]
    assert sorted(found) == [
        ("code", "fourth", "hashed"),
        ("corpus", "fifth", "hashed"),
        ("news", "first\n", "hashed"),
        ("news", "second\n", "hashed"),
        ("news", "third", "hashed"),
    ]


def test_a_pattern_chooses_files(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "yes")
    write(tmp_path / "b.md", "no")
    assert [d.content for d in source(tmp_path, pattern="*.txt").documents()] == ["yes"]


def test_a_valid_file_states_the_split(tmp_path: Path) -> None:
    write(tmp_path / "a/train.txt", "learn")
    write(tmp_path / "a/valid.txt", "test")
    write(tmp_path / "b/x.txt", "free")
    found = {(d.domain, d.content, d.split) for d in source(tmp_path).documents()}
    assert found == {
        ("a", "learn", "train"),
        ("a", "test", "held_out"),
        ("b", "free", "hashed"),
    }


def test_files_by_name(tmp_path: Path) -> None:
    one = write(tmp_path / "poems.txt", "x")
    two = write(tmp_path / "prose/train.txt", "y")
    found = [(d.domain, d.content) for d in source([str(one), str(two)]).documents()]
    assert found == [("poems", "x"), ("prose", "y")]


def test_windows_line_ends_separate_too(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "one\r\n<|endoftext|>\r\ntwo\r\n")
    assert [d.content for d in source(file).documents()] == ["one\r\n", "two\r\n"]


def test_long_documents_come_in_pieces_of_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "PIECE_BYTES", 64)
    long = "".join(f"línea número {i} 😀\n" for i in range(40)) + "x" + "é" * 200
    file = write(tmp_path / "a.txt", f"{long}{SEPARATOR}short")
    *pieces, last = source(file, invalid_utf8="refuse").documents()
    assert "".join(str(piece.content) for piece in pieces) == long + "\n"
    assert len(pieces) > 10
    assert max(len(str(piece.content).encode()) for piece in pieces) <= 64 + 4
    assert len({piece.group for piece in pieces}) == 1
    assert (last.content, last.group == pieces[0].group) == ("short", False)


def test_the_group_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    one = write(tmp_path / "one.txt", f"a{SEPARATOR}b\n{SEPARATOR}")
    two = write(tmp_path / "two.txt", f"new{SEPARATOR}b\n{SEPARATOR}a{SEPARATOR}c")
    groups = {d.content: d.group for d in source(one).documents()}
    again = {d.content: d.group for d in source(two).documents()}
    assert groups == {key: again[key] for key in groups}
    assert len(set(again.values())) == 4


def test_invalid_bytes_are_replaced_and_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", b"caf\xe9 and \xff \xef\xbf\xbd")
    (document,) = source(file).documents()
    assert document.content == "caf\ufffd and \ufffd \ufffd"
    assert document.n_replaced == 2


def test_invalid_bytes_are_refused_where_asked(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", b"caf\xe9 x")
    with pytest.raises(ValueError, match=r"expected UTF-8, got .*a\.txt, which has byte 0xe9"):
        list(source(file, invalid_utf8="refuse").documents())


def test_binary_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.png", b"\x89PNG\0\0")
    with pytest.raises(ValueError, match=r"holds zero bytes .* data\.pattern"):
        list(source(tmp_path).documents())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "missing", r"data\.path: .*does not exist"),
        (lambda folder: folder, r"data\.path: expected files named '\*' in .*, got none"),
        (lambda folder: write(folder / "a.txt", ""), r"data\.path: .*only empty files"),
    ],
)
def test_missing_and_empty_corpora_are_refused(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source(make(tmp_path)).listing()


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.txt", "x")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"got .*a\.txt \(Permission denied\)"):
        list(source(file).documents())
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match=r"got .*a\.txt \(Permission denied\)"):
        source(tmp_path).listing()


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.invalid_utf8: expected 'replace' or 'refuse'"):
        source(tmp_path, invalid_utf8="ignore")


def test_listing_follows_the_files(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "x")
    before = source(tmp_path).listing()
    assert source(tmp_path).listing() == before
    assert before.n_bytes == 1
    write(tmp_path / "b.txt", "y")
    assert source(tmp_path).listing() != before


def test_facts_say_where(tmp_path: Path) -> None:
    assert source(tmp_path).facts() == {"path": str(tmp_path)}
