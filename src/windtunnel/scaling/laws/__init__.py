"""Scaling laws, one module each; a module that holds a law is found here by itself.

A law is called by its module's name. What it can be made with follows after colons: the column of a
law of one quantity, `power_law_constant:D`, and then how many breaks it has, `bnsl:D:2`.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence

from windtunnel.interfaces import Law

COLUMNS = ("N", "D", "C")  # parameters, tokens, FLOPs: what a law of one quantity is listed over
READ = {"str": str, "int": int}  # what a name can hold, by its annotation


def available() -> dict[str, type]:
    """Every law of this package by its name: one class that predicts per module."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and hasattr(value, "predict"):
                found[info.name] = value
    return found


def by_name(name: str) -> Law:
    """The law called `name`, over its usual columns where it names none.

    Raises:
        ValueError: there is no such law, or it cannot be made with what follows its name.
    """
    laws = available()
    kind, *options = name.split(":")
    if kind not in laws:
        raise ValueError(f"law: expected one of {', '.join(sorted(laws))}; got {kind!r}")
    fields = [field for field in dataclasses.fields(laws[kind]) if field.type in READ]
    usable = len(options) <= len(fields) and all(
        option.isdecimal() if field.type == "int" else option
        for field, option in zip(fields, options, strict=False)
    )
    if not usable:
        takes = ":".join([kind, *(field.name.upper() for field in fields)])
        raise ValueError(f"law: expected {takes}, in full or less of its end; got {name!r}")
    pairs = zip(fields, options, strict=False)
    return laws[kind](*(READ[str(field.type)](option) for field, option in pairs))


def listing() -> Sequence[Law]:
    """Every law, and those of one quantity over each column that is usual."""
    laws = []
    for name, kind in sorted(available().items()):
        of_one = any(field.name == "column" for field in dataclasses.fields(kind))
        names = [f"{name}:{column}" for column in COLUMNS] if of_one else [name]
        laws += [by_name(each) for each in names]
    return laws
