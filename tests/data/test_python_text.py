from __future__ import annotations

import ast
import inspect
import io
import sysconfig
import tokenize
from pathlib import Path

import pytest

from windtunnel.data.python_text import cut_python

STDLIB = Path(sysconfig.get_paths()["stdlib"])
NAMES = ["argparse.py", "ast.py", "asyncio/events.py", "json/decoder.py", "email/message.py"]


def test_cuts_a_file_as_written_by_hand() -> None:
    source = (
        '#!/usr/bin/python\n"""Top."""\nimport os  # for paths\n\n\nclass A:\n'
        '    r"""Of A.\n\n    More.\n    """\n\n    x = "# no comment"\n'
        "    def f(self):\n        'One line.'  # said\n        return '''no docstring'''\n"
    )
    code, docstrings, comments = cut_python(source)
    assert code == (
        '\nimport os\n\n\nclass A:\n\n    x = "# no comment"\n'
        "    def f(self):\n  \n        return '''no docstring'''\n"
    ).replace("  \n", "\n").replace("\nimport", "import", 1)
    assert docstrings == "Top.\n\nOf A.\n\nMore.\n\nOne line."
    assert comments == "!/usr/bin/python\nfor paths\nsaid"


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_parser_on_docstrings(name: str) -> None:
    source = (STDLIB / name).read_text()
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    wanted = {text for node in nodes if (text := ast.get_docstring(node)) and "\\" not in text}
    ours = cut_python(source).docstrings
    assert wanted
    assert not [text for text in wanted if inspect.cleandoc(text) not in ours]


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_tokenizer_on_comments(name: str) -> None:
    source = (STDLIB / name).read_text()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    wanted = [t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT]
    assert wanted
    assert cut_python(source).comments.split("\n") == wanted


@pytest.mark.parametrize("name", NAMES)
def test_code_keeps_every_other_token(name: str) -> None:
    source = (STDLIB / name).read_text()
    again = cut_python(cut_python(source).code)
    assert again.comments == ""
    names = [n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)]
    code = cut_python(source).code
    assert names
    assert all(name in code for name in names)


def test_a_string_among_arguments_is_code() -> None:
    source = "f(\n    'one',\n    'two'\n)\n"
    assert cut_python(source) == (source, "", "")


@pytest.mark.parametrize("source", ["", "'''never closed", 'x = "\n', "#", '"""only"""'])
def test_takes_odd_files(source: str) -> None:
    code, docstrings, comments = cut_python(source)
    assert len(code) + len(docstrings) + len(comments) <= len(source)
