"""Keeps passwords, tokens and keys out of what is written down.

A config may hold none: it goes into the record, the log and the dashboards. So `secrets_in` finds
them and `guards` refuses. Errors of other libraries may still quote one from the environment or
from an address; `hidden` replaces it before the text is shown or kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "<hidden>"
LEAST_CHARACTERS = 8  # a shorter value of a variable would be found everywhere
NAMES = re.compile(
    r"(?i)(.*[_.])?(api_?key|access_?key|auth|credentials?|passwd|password|secret|token)"
)
IN_ADDRESS = re.compile(r"(?i)(?P<before>[a-z][a-z0-9+.-]*://)[^/@\s]+@")
IN_QUERY = re.compile(
    r"(?i)(?P<before>[?&](?:[a-z_-]*(?:api_?key|password|secret|signature|token)|sig|auth)=)[^&\s\"']+"
)
# Hugging Face, W&B, GitHub, OpenAI and the like, AWS
SHAPES = re.compile(
    r"\b(hf_[A-Za-z0-9]{20,}|wandb_v\d_[A-Za-z0-9_]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16})\b"
)


def hidden(text: str) -> str:
    """The text without what is secret in it."""
    for value in sorted(set(_in_environment(os.environ)), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = IN_ADDRESS.sub(rf"\g<before>{HIDDEN}@", text)
    text = IN_QUERY.sub(rf"\g<before>{HIDDEN}", text)
    return SHAPES.sub(HIDDEN, text)


def secrets_in(values: Any, key: str = "") -> list[str]:
    """The dotted keys whose values are secrets, by their names or by what they look like."""
    if isinstance(values, Mapping):
        return [k for name, v in values.items() for k in secrets_in(v, f"{key}.{name}".strip("."))]
    if isinstance(values, list | tuple):
        return [found for value in values for found in secrets_in(value, key)]
    is_text = isinstance(values, str) and bool(values)
    is_named = NAMES.fullmatch(key.rpartition(".")[2]) is not None
    return [key] if is_text and (is_named or hidden(values) != values) else []


def _in_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if NAMES.fullmatch(name) and len(value) >= LEAST_CHARACTERS:
            yield value
