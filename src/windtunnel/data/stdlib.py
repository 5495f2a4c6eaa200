"""The Python standard library's own sources as a corpus: real text on every machine, no download.

Found through `sysconfig`; installed packages, generated build settings and files that are not UTF-8
are left out. The text differs between Python versions, so the digest in the record does too. Every
file gives up to three documents (code, docstrings, comments), which share a split; every
documentation topic of `pydoc` is a document of its own.
"""

from __future__ import annotations

import ast
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from windtunnel.data.python_text import cut_python
from windtunnel.data.source import Document, Listing, stat_rows

_SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages", "lib-dynload"}
_NETWORK = {"asyncio", "email", "html", "http", "urllib", "wsgiref", "xml", "xmlrpc"}
_APPLICATIONS = {
    "curses",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "venv",
}
_TEST_FOLDERS = {"test", "tests", "idle_test"}
_TOPICS = "pydoc_data/topics.py"


class StandardLibrary:
    """Reads the standard library of the running Python, or the one in `folder`."""

    vocab_size = None

    def __init__(self, *, folder: str | None) -> None:
        self.folder = Path(folder or sysconfig.get_paths()["stdlib"])

    def listing(self) -> Listing:
        """Lists the Python files."""
        rows = stat_rows(_find_files(self.folder), self.folder)
        if not rows:
            raise ValueError(
                f"data.source.folder: expected a folder with Python's standard library as .py "
                f"files, got {self.folder}, which has none; give its folder, or use data=text "
                "data.path=FOLDER"
            )
        return Listing({"source": "stdlib", "files": rows}, sum(int(row[1]) for row in rows))

    def documents(self) -> Iterator[Document]:
        """Reads every file once."""
        for file in sorted(_find_files(self.folder)):
            name = file.relative_to(self.folder).as_posix()
            text = _read_text(file)
            if text is None:
                continue
            if name == _TOPICS:
                for topic, body in _topics(text).items():
                    yield Document("topics", body, f"topic {topic}")
                continue
            for domain, part in _cut(name, text).items():
                if part.strip():
                    yield Document(domain, part, name)

    def facts(self) -> dict[str, Any]:
        """Which Python it is."""
        own = self.folder == Path(sysconfig.get_paths()["stdlib"])
        return {"python": platform.python_version()} if own else {"folder": str(self.folder)}


def domain_of(name: str) -> str:
    """The domain of the code in a file, by its path below the standard library."""
    *folders, _ = name.split("/")
    if _TEST_FOLDERS.intersection(folders):
        return "tests"
    if not folders:
        return "modules"
    if folders[0] == "encodings":
        return "encodings"
    if folders[0] in _NETWORK:
        return "network"
    return "applications" if folders[0] in _APPLICATIONS else "packages"


def _find_files(folder: Path) -> list[Path]:
    files: list[Path] = []
    pending = [folder]
    while pending:
        here = pending.pop()
        if not here.is_dir():
            continue
        for entry in here.iterdir():
            if entry.suffix == ".py":
                if not entry.name.startswith(("_sysconfigdata", "sitecustomize")):
                    files.append(entry)
            elif "." not in entry.name and entry.name not in _SKIPPED_FOLDERS and entry.is_dir():
                pending.append(entry)
    return files


def _read_text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def _cut(name: str, text: str) -> dict[str, str]:
    domain = domain_of(name)
    if domain == "encodings":  # their comments are one more copy of the table
        return {domain: text}
    code, docstrings, comments = cut_python(text)
    return {domain: code, "docstrings": docstrings, "comments": comments}


def _topics(source: str) -> dict[str, str]:
    """The topics of `pydoc_data/topics.py`, which is one assignment of a dict of strings."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return ast.literal_eval(node.value)
    return {}
