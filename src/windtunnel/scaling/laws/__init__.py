"""Scaling laws, one module each; a module that holds a law is found here by itself."""

from __future__ import annotations

import importlib
import pkgutil

from windtunnel.interfaces import Law


def available() -> dict[str, type]:
    """Every law of this package by its name: one public class per module."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                found[info.name] = value
    return found


def by_name(name: str) -> Law:
    """The law called `name`, over its usual columns.

    Raises:
        ValueError: there is no such law.
    """
    laws = available()
    if name not in laws:
        raise ValueError(f"law: expected one of {', '.join(sorted(laws))}; got {name!r}")
    return laws[name]()
