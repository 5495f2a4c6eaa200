"""Automatic choices of a job: accelerator, precision, compilation, threads, each with its reason.

They are made once, stored with the record and taken from there when the job goes on, so that a
run never changes its arithmetic half-way.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

# On two cores compiling took 35 s or more with an empty cache, and saved 5 s in a million tokens at
# width 24 as at 128, 16 s at 272: a shorter run than this does not repay it.
SHORTEST_COMPILED_TOKENS = 4_000_000


def choose(settings: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """The values behind every `auto` of the `trainer` section, each with a `..._reason`."""
    accelerator, why_accelerator = choose_accelerator(settings["accelerator"])
    precision, why_precision = choose_precision(settings["precision"], accelerator)
    compiled, why_compiled = choose_compile(settings["compile"], accelerator, tokens)
    threads, why_threads = choose_threads(settings["threads"], accelerator, settings["devices"])
    return {
        "accelerator": accelerator,
        "accelerator_reason": why_accelerator,
        "precision": precision,
        "precision_reason": why_precision,
        "compile": compiled,
        "compile_reason": why_compiled,
        "threads": threads,
        "threads_reason": why_threads,
    }


def choose_accelerator(setting: str) -> tuple[str, str]:
    """`cuda`, `mps` or `cpu`.

    Raises:
        ValueError: the accelerator asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if setting == "auto":
        found = next((name for name, here in there.items() if here), "cpu")
        return found, "the first that is there of cuda, mps, cpu"
    name = {"gpu": "cuda"}.get(setting, setting)
    if name != "cpu" and not there.get(name, False):
        raise ValueError(
            f"trainer.accelerator must be one that this machine has, got {setting}: "
            "choose auto or cpu"
        )
    return name, "as configured"


def choose_precision(setting: str, accelerator: str) -> tuple[str, str]:
    """A precision in Lightning's names."""
    if setting != "auto":
        return str(setting), "as configured"
    if accelerator == "cuda" and torch.cuda.is_bf16_supported():
        return "bf16-mixed", "the GPU multiplies bf16 natively"
    if accelerator == "cpu" and has_native_bf16():
        return "bf16-mixed", "the processor multiplies bf16 natively"
    return "32-true", f"no native bf16 products on this {accelerator}"


def has_native_bf16() -> bool:
    """Whether this processor has AVX512-BF16 or AMX instructions."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_compile(setting: bool | str, accelerator: str, tokens: int) -> tuple[bool, str]:
    """Whether to use `torch.compile`.

    Raises:
        ValueError: the setting is none of auto, true and false.
    """
    if isinstance(setting, bool):
        return setting, "as configured"
    if setting != "auto":
        raise ValueError(
            f"trainer.compile must be auto, true or false, got {setting!r}: choose one"
        )
    if accelerator == "mps":
        return False, "torch.compile is young on mps"
    if tokens < SHORTEST_COMPILED_TOKENS:
        return False, f"{tokens} tokens are too few to repay compiling"
    if accelerator == "cpu" and not has_compiler():
        return False, "no C++ compiler was found"
    return True, "the run is long enough to repay compiling"


def choose_threads(setting: int | str, accelerator: str, devices: Any) -> tuple[int, str]:
    """Processor threads of each process of a job."""
    if setting != "auto":
        return int(setting), "as configured"
    n_threads = torch.get_num_threads()
    if accelerator == "cpu" and isinstance(devices, int) and "OMP_NUM_THREADS" not in os.environ:
        return max(1, n_threads // devices), "an equal share of what torch set"
    return n_threads, "as the launcher or torch set it"


def has_compiler() -> bool:
    """Whether there is a C++ compiler that torch would use."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def compile_or_fall_back(
    module: torch.nn.Module, choices: dict[str, Any], trial: Callable[[], None]
) -> None:
    """Compiles a module in place and tries it; falls back to eager where that fails.

    In place, so that the names of its parameters stay as they are. The outcome and its reason go
    into `choices`.

    Args:
        module: what to compile.
        choices: the choices of the job, changed in place.
        trial: one forward and backward pass, which makes the compiler work.
    """
    module.compile()
    try:
        trial()
    except Exception as error:  # whatever breaks inside a compiler, eager still works
        module._compiled_call_impl = None
        torch._dynamo.reset()
        reason = f"compiling failed: {type(error).__name__}: {str(error).strip()[:200]}"
        choices |= {"compile": False, "compile_reason": reason}
        warnings.warn(f"torch.compile is left out, the run is slower: {reason}", stacklevel=2)
