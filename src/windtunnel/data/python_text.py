"""Cuts Python sources into code, docstrings and comments, every character in at most one of them.

A single regular expression walks over the strings and comments of a file, so that files which the
running Python cannot parse are cut too. A docstring is a string that stands alone on its lines and
follows a colon or the beginning of the file.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_STRING_OR_COMMENT = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
    | (?P<prefix>\b[rRuUbBfFtT]{1,2}(?=["']))? (?:
        \"\"\" (?P<double3>[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*) \"\"\"
      | ''' (?P<single3>[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*) '''
      | " (?P<double>[^\n"\\]*(?:\\.[^\n"\\]*)*) "
      | ' (?P<single>[^\n'\\]*(?:\\.[^\n'\\]*)*) '
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


class PythonText(NamedTuple):
    """The three kinds of text in a Python file."""

    code: str
    docstrings: str
    comments: str


def cut_python(source: str) -> PythonText:
    """Cuts one file; docstrings come dedented and comments without their `#`."""
    code: list[str] = []
    docstrings: list[str] = []
    comments: list[str] = []
    copied = 0  # end of what is in `code` or cut out
    seen = 0  # end of the last match
    before = ""  # last character of code before the match; empty at the beginning of the file
    for match in _STRING_OR_COMMENT.finditer(source):
        start, end = match.span()
        between = source[seen:start].rstrip()
        before = between[-1] if between else before
        seen = end
        line_start = source.rfind("\n", 0, start) + 1
        alone = not source[line_start:start].strip()
        if match["comment"] is not None:
            comments.append(match["comment"].lstrip("#").strip())
            if alone:
                code.append(source[copied:line_start])
                copied = min(end + 1, len(source))
            else:
                code.append(source[copied:start].rstrip(" \t"))
                copied = end
            continue
        is_docstring = (
            alone
            and before in ("", ":")
            and (match["prefix"] or "").lower() in ("", "r", "u")
            and _REST_OF_LINE.match(source, end) is not None
        )
        if is_docstring:
            groups = ("double3", "single3", "double", "single")
            text = next(match[name] for name in groups if match[name] is not None)
            docstrings.append(inspect.cleandoc(text))
            code.append(source[copied:line_start])
            copied = end + 1 if source[end : end + 1] == "\n" else end
        before = '"'
    code.append(source[copied:])
    return PythonText("".join(code), "\n\n".join(docstrings), "\n".join(comments))
