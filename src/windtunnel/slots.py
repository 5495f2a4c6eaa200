"""What a config may build: parts of this package, and classes of others that fit their slot.

A slot is a place of the config where a part stands, such as `loss` or `callbacks.NAME`. A class
fits it if it has what the slot's Protocol asks for (`interfaces.py`, `data/source.py`, Lightning's
own). Inside of a part other libraries may give classes with `forward`, `step` or `update`: layers,
optimisers, metrics. A function of another library is never built: `os.system` is one. Nor is one of
ours that reads and writes files.

A config that is read back from a job's folder is data: it builds what is ours, and nothing else.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

CALLED = "__call__"
SLOTS: dict[str, tuple[str, ...]] = {
    r"model": ("roles", "named_parameters"),
    r"loss|loss\.main|loss\.auxiliaries\.\w+\.loss": (CALLED,),
    r"optim\.build": ("step", "state_dict", "load_state_dict"),
    r"schedule": (CALLED,),
    r"data\.source": ("documents", "listing", "facts"),
    r"tokenizer": ("make", "identity"),
    r"cleaning": ("documents", "sift", "identity"),
    r"scorer\.part": (CALLED, "fit"),
    r"callbacks\.\w+": ("on_train_batch_end", "state_dict", "load_state_dict"),
    r"logger\.\w+": ("log_metrics", "finalize"),
    r"trainer\.strategy": ("barrier", "broadcast"),
    r"study": ("plan", "propose", "conclude"),
}
INNER = ("forward", "step", "update")
WORKS = (
    "build.make", "checkpoint", "config", "ddp", "faults", "files", "folder", "provenance",
    "report.outputs", "run",
)  # fmt: skip
OURS = re.compile(r"windtunnel(\.\w+)+")
NO_PARTS = re.compile(rf"windtunnel\.({'|'.join(re.escape(name) for name in WORKS)})(\.|$)")


def check(values: Mapping[str, Any]) -> None:
    """Refuses a config that would build what fits no slot.

    Raises:
        ValueError: naming the place, what it takes, and what came.
    """
    for path, target in targets(values):
        _check_part(path, target)


def check_read_back(values: Any) -> None:
    """Refuses a config from a job's folder that would build something that is not ours.

    Raises:
        ValueError: naming the target.
    """
    for path, target in targets(values):
        if not isinstance(target, str) or OURS.fullmatch(target) is None:
            raise ValueError(
                f"{path}._target_: expected parts of windtunnel in a config that is read back from "
                f"a folder, got {target}; train the model again with parts of windtunnel"
            )
        _check_part(path, target)


def targets(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every `_target_` of nested values, and where it stands."""
    if isinstance(values, Mapping):
        if "_target_" in values:
            yield path, values["_target_"]
        for key, value in values.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from targets(value, f"{path}[{index}]")


def _check_part(path: str, target: Any) -> None:
    wanted = next((has for slot, has in SLOTS.items() if re.fullmatch(slot, path)), None)
    try:
        part = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}._target_: expected something to build, got {target}: {error}; correct the name"
        ) from error
    if _fits(part, wanted):
        return
    methods = ", ".join(wanted) if wanted else f"one of {', '.join(INNER)}"
    raise ValueError(
        f"{path}._target_: expected a part of windtunnel, or a class with {methods}, got {target}; "
        "take one of the options of this group, or give a class of that kind"
    )


def _fits(part: Any, wanted: tuple[str, ...] | None) -> bool:
    where = f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', '')}"
    ours = OURS.fullmatch(where) is not None
    if ours and NO_PARTS.match(where):
        return False
    if not inspect.isclass(part):
        return ours
    if wanted is None:
        return ours or any(_has(part, name) for name in INNER)
    return all(_has(part, name) for name in wanted)


def _has(part: type, name: str) -> bool:
    if name == CALLED:  # every class can be called, so `hasattr` would not tell
        return any(CALLED in vars(base) for base in part.__mro__)
    return hasattr(part, name)
