"""What is refused before a job starts: pure functions of the plain, resolved config.

Three guards keep a mistyped command from running something else in silence: an unknown section or
key, a key that no constructor takes, and values that a recipe pinned for a part which the command
line has exchanged for another. Sizes that cannot fit are found here as well.
"""

from __future__ import annotations

import difflib
import inspect
import math
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from windtunnel.redaction import secrets_in

# Settings of the evaluation, which a recipe's other text is evaluated with as well.
CARRIED = {"data.eval_tokens", "data.held_out"}
HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}


# ------------------------------------------------------------------------------------ plain dicts


def without(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A copy of nested values without the dotted keys."""
    copy = dict(values)
    for key in keys:
        head, _, rest = key.partition(".")
        if head in copy and rest and isinstance(copy[head], Mapping):
            copy[head] = without(copy[head], [rest])
        elif not rest:
            copy.pop(head, None)
    return copy


def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Merges nested values into others in place; the later value wins."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not a mapping, under its dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def select(values: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, or None."""
    node: Any = values
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def chooses_part(values: Mapping[str, Any], key: str, value: Any) -> bool:
    """Tells whether an override chooses an option of a group, and not a single value."""
    return isinstance(value, str) and isinstance(select(values, key.replace("/", ".")), Mapping)


def replaced(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested values with other values under some dotted keys.

    Raises:
        ValueError: a key does not exist.
    """
    out = dict(values)
    for key, value in changes.items():
        missing = what_exists(values, key)
        if missing:
            raise ValueError(f"{key}: expected a key of the config, got a new one: {missing}")
        head, _, rest = key.partition(".")
        out[head] = replaced(out[head], {rest: value}) if rest else value
    return out


def listing(word: str, options: Iterable[str]) -> str:
    """`a, b, c`, and what the word was probably meant to be."""
    names = sorted(options)
    close = difflib.get_close_matches(word, names, n=1)
    return ", ".join(names) + (f"; did you mean {close[0]}?" if close else "")


def what_exists(values: Any, key: str) -> str:
    """Which keys there are at the place where a dotted key stops to exist."""
    node, there = values, ""
    for part in key.split("."):
        if not isinstance(node, Mapping):
            return f"{there} is a value and has no keys"
        if part not in node:
            place = there or "the config"
            return f"{place} has no key {part}; it has {listing(part, map(str, node))}"
        node, there = node[part], f"{there}.{part}" if there else part
    return ""


# ----------------------------------------------------------------------------------------- guards


def check_sections(values: Mapping[str, Any], known: Mapping[str, Set[str] | None]) -> None:
    """Refuses sections and keys that nothing reads.

    Args:
        values: the resolved config.
        known: per section the keys it may hold, or None where a constructor says which.

    Raises:
        ValueError: naming the key and those that exist.
    """
    for section, content in values.items():
        if section not in known:
            raise ValueError(
                f"{section}: expected one of the config's sections, got an unknown one; "
                f"sections are {listing(section, {*known, 'recipe'})}"
            )
        keys = known[section]
        if keys is None or not isinstance(content, Mapping):
            continue
        for key, value in content.items():
            is_part = isinstance(value, Mapping) and "_target_" in value
            if key not in keys and not is_part:
                raise ValueError(
                    f"{section}.{key}: expected one of the keys of {section}, got an unknown one; "
                    f"keys are {listing(key, keys)}"
                )


def check_secrets(values: Mapping[str, Any]) -> None:
    """Refuses passwords, tokens and keys: a config goes into records, logs and dashboards.

    Raises:
        ValueError: naming the keys, not what they hold.
    """
    found = secrets_in(values)
    if found:
        raise ValueError(
            f"{', '.join(found)}: expected nothing secret in the config, which is written into "
            "records and logs, got what looks like a password, token or key; leave it out, and set "
            "the variable that the service reads, such as WANDB_API_KEY or HF_TOKEN"
        )


def check_targets(values: Any, path: str = "") -> None:
    """Refuses a `_target_` that cannot be imported and a key that it does not take.

    Raises:
        ValueError: naming the key and the parameters of the constructor.
    """
    if isinstance(values, Mapping):
        if "_target_" in values:
            _check_signature(values, path)
        for key, value in values.items():
            check_targets(value, f"{path}.{key}" if path else key)
    elif isinstance(values, list):
        for index, value in enumerate(values):
            check_targets(value, f"{path}[{index}]")


def _check_signature(values: Mapping[str, Any], path: str) -> None:
    target = values["_target_"]
    try:
        part = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}._target_: expected something to call, got {target}: {error}; "
            "correct the name, or install the package it is from"
        ) from error
    try:
        parameters = inspect.signature(part).parameters
    except ValueError:  # some functions written in C do not tell
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for key in values:
        if key not in HYDRA_KEYS and key not in parameters:
            raise ValueError(
                f"{path}.{key}: {target} takes no such setting; it takes "
                f"{listing(key, parameters) or 'none'}"
            )


def check_swaps(swaps: Mapping[str, str], pins: Mapping[str, Any], given: Set[str]) -> None:
    """Refuses to give a part the values that a recipe chose for another part.

    How it is evaluated (`CARRIED`) is the recipe's, whatever text it reads.

    Args:
        swaps: dotted group to the option that the command line takes instead of the recipe's.
        pins: what the recipe sets.
        given: the keys that the command line sets itself.

    Raises:
        ValueError: naming the values that the recipe would still set.
    """
    for group, option in swaps.items():
        pinned = select(pins, group)
        if not isinstance(pinned, Mapping):
            continue
        stale = {
            k: v for k, v in leaves(pinned, f"{group}.") if k not in given and k not in CARRIED
        }
        if stale:
            values = ", ".join(f"{key}={value}" for key, value in stale.items())
            raise ValueError(
                f"{group}={option}: the recipe sets {values} for another {group}, which would make "
                f"an unfair comparison; give {' '.join(f'{key}=...' for key in stale)} as well"
            )


def check_sizes(values: Mapping[str, Any]) -> None:
    """Refuses sizes that do not fit together.

    Raises:
        ValueError: naming the setting, what was expected and what came.
    """
    for key, least in (
        ("seed", 0),
        ("batch.seed", 0),
        ("budget.tokens", 1),
        ("budget.evaluations", 1),
        ("batch.sequences", 1),
        ("batch.length", 1),
        ("batch.accumulate", 1),
        ("model.width", 1),
        ("model.depth", 1),
        ("model.head_size", 1),
    ):
        value = select(values, key)
        if value is not None and (not _is_whole(value) or value < least):
            raise ValueError(f"{key}: expected a whole number of at least {least}, got {value!r}")
    for key, least in (
        ("optim.clip_norm", 0),
        ("trainer.checkpoint_seconds", 0),
        ("trainer.log_every_n_steps", 1),
    ):
        value = select(values, key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and value >= least):
            raise ValueError(f"{key}: expected a number of at least {least}, got {value!r}")
    _check_multiple(values, "batch.sequences", "batch.accumulate")
    _check_devices(values)
    _check_multiple(values, "model.width", "model.head_size")
    _check_budget(values)


def _check_multiple(values: Mapping[str, Any], key: str, of: str) -> None:
    value, unit = select(values, key), select(values, of)
    if value is not None and unit is not None and value % unit:
        raise ValueError(
            f"{key}: expected a multiple of {of}={unit}, got {value}; "
            f"take {value // unit * unit or unit} or {(value // unit + 1) * unit}, or change {of}"
        )


def _check_devices(values: Mapping[str, Any]) -> None:
    """Whether the devices can share a micro-batch; one that is `auto` is seen when it trains."""
    counts = [select(values, f"trainer.{key}") for key in ("devices", "num_nodes")]
    n_devices = math.prod(n for n in counts if _is_whole(n) and n > 0)
    sequences, pieces = (select(values, f"batch.{key}") for key in ("sequences", "accumulate"))
    if None not in (sequences, pieces) and sequences % (pieces * n_devices):
        raise ValueError(
            f"batch.sequences: expected a multiple of batch.accumulate x devices = "
            f"{pieces} x {n_devices}, since all devices share a batch, got {sequences}; change "
            "it, or trainer.devices"
        )


def _check_budget(values: Mapping[str, Any]) -> None:
    sizes = [select(values, f"batch.{key}") for key in ("sequences", "length")]
    tokens = select(values, "budget.tokens")
    if tokens is None or None in sizes:
        return
    step = sizes[0] * sizes[1]
    if tokens < step:
        raise ValueError(
            f"budget.tokens: expected at least one batch of {step} tokens, got {tokens}; "
            "raise it, or lower batch.sequences or batch.length"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
