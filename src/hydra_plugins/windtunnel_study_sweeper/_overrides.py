"""Command-line overrides: the grid they span, and those that a study's jobs add."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from windtunnel import config

PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
RESERVED = {"true", "false", "null", "nan", "inf"}


def grid(arguments: Sequence[str]) -> list[list[str]]:
    """Every point that the comma lists and ranges of a command line span.

    Raises:
        ValueError: a sweep that has no list of values.
    """
    choices = []
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        if not override.is_sweep_override():
            choices.append([override.input_line])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            raise ValueError(
                f"{override.input_line}: expected a list or range of values for a study, got an "
                "interval; give the values with commas"
            )
    return [config.leaving_out(point) for point in itertools.product(*choices)]


def written(key: str, value: Any) -> str:
    """`key=value` so that Hydra reads the same value back."""
    return f"{key}={_literal(value)}"


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_literal(item) for item in value) + "]"
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in RESERVED:
        return text
    # Hydra reads a backslash as an escape only where a quote follows the run it stands in.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def of_job(given: Sequence[str], own: Mapping[str, Any]) -> list[str]:
    """The command line with a job's own overrides, which win.

    Raises:
        ValueError: the command line sets a key that the study sets itself.
    """
    for override in OverridesParser.create().parse_overrides(list(given)):
        if override.key_or_group in own:
            raise ValueError(
                f"{override.input_line}: the study sets {override.key_or_group} for each of its "
                "jobs, so this would change nothing; change the study's settings (study.KEY=...)"
            )
    return [*given, *config.leaving_out([written(key, value) for key, value in own.items()])]
