from __future__ import annotations

import sysconfig
from collections import defaultdict
from pathlib import Path

import pytest

from windtunnel.data.stdlib import StandardLibrary, domain_of

TOPICS = '# made by hand\ntopics = {"if": "The if statement.", "for": "The for statement."}\n'


def write(folder: Path, name: str, text: str | bytes) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    write(tmp_path, "os.py", '"""About os."""\nimport sys  # why\n')
    write(tmp_path, "http/client.py", "import os\n")
    write(tmp_path, "pydoc_data/topics.py", TOPICS)
    write(tmp_path, "encodings/cp1.py", '"""Table."""\nx = 1  # one\n')
    write(tmp_path, "bad.py", b"x = '\xff'\n")
    write(tmp_path, "site-packages/other.py", "import torch\n")
    write(tmp_path, "_sysconfigdata_linux.py", "build = 1\n")
    return tmp_path


def test_reads_what_belongs_to_the_library(library: Path) -> None:
    found = {
        (d.domain, d.content, d.group) for d in StandardLibrary(folder=str(library)).documents()
    }
    assert found == {
        ("modules", "import sys\n", "os.py"),
        ("docstrings", "About os.", "os.py"),
        ("comments", "why", "os.py"),
        ("network", "import os\n", "http/client.py"),
        ("topics", "The if statement.", "topic if"),
        ("topics", "The for statement.", "topic for"),
        ("encodings", '"""Table."""\nx = 1  # one\n', "encodings/cp1.py"),
    }


def test_domains_by_kind() -> None:
    names = {
        "os.py": "modules",
        "json/decoder.py": "packages",
        "asyncio/events.py": "network",
        "idlelib/help.py": "applications",
        "idlelib/idle_test/x.py": "tests",
        "test/test_os.py": "tests",
        "encodings/utf_8.py": "encodings",
    }
    assert {name: domain_of(name) for name in names} == names


def test_this_python_has_six_domains_even_without_tests() -> None:
    by_domain: dict[str, int] = defaultdict(int)
    for document in StandardLibrary(folder=None).documents():
        assert isinstance(document.content, str)
        by_domain[document.domain] += len(document.content)
    by_domain.pop("tests", None)
    by_domain.pop("applications", None)  # some systems leave these out too
    assert len(by_domain) >= 6
    assert min(by_domain.values()) > 50_000


def test_listing_follows_the_files(library: Path) -> None:
    source = StandardLibrary(folder=str(library))
    before = source.listing()
    assert before == StandardLibrary(folder=str(library)).listing()
    assert not any("site-packages" in str(row) for row in before.identity["files"])
    write(library, "os.py", "import sys\n")
    assert source.listing() != before


def test_a_folder_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.source\.folder: expected .* which has none"):
        StandardLibrary(folder=str(tmp_path)).listing()
    with pytest.raises(ValueError, match=r"which has none"):
        StandardLibrary(folder=str(tmp_path / "missing")).listing()


def test_facts_name_the_python(library: Path) -> None:
    assert "python" in StandardLibrary(folder=None).facts()
    assert "python" in StandardLibrary(folder=sysconfig.get_paths()["stdlib"]).facts()
    assert StandardLibrary(folder=str(library)).facts() == {"folder": str(library)}
