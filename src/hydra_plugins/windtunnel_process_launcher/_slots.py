"""How cores and GPUs are shared between the jobs that run at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NVIDIA_SMI_SECONDS = 20


@dataclass(frozen=True)
class Slot:
    """Room for one job: its threads per process, and the GPUs that it sees."""

    threads: int
    gpus: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that keep a job within its slot."""
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
        threads = dict.fromkeys(names, str(self.threads))
        return threads | ({"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {})


def share(
    n_jobs: int,
    *,
    workers: int | Literal["auto"],
    threads: int | Literal["auto"],
    devices: int,
    cores: int,
    gpus: Sequence[str],
) -> list[Slot]:
    """One slot per job that runs at the same time; a lone job gets all cores.

    Raises:
        ValueError: a job wants more GPUs than there are, or a setting is no count.
    """
    for key, value in (("workers", workers), ("threads", threads)):
        if value != "auto" and (not isinstance(value, int) or value < 1):
            raise ValueError(
                f"hydra.launcher.{key}: expected auto or a whole number of at least 1, "
                f"got {value!r}"
            )
    if gpus and devices > len(gpus):
        raise ValueError(
            f"trainer.devices: expected at most the {len(gpus)} GPUs that are visible, "
            f"got {devices}; lower it, or show more in CUDA_VISIBLE_DEVICES"
        )
    processes = cores // ((threads if isinstance(threads, int) else 1) * devices)
    most = len(gpus) // devices if gpus else processes
    n = min(n_jobs, max(1, workers if isinstance(workers, int) else most))
    each = threads if isinstance(threads, int) else max(1, cores // (n * devices))
    groups = [tuple(gpus[i : i + devices]) for i in range(0, len(gpus) - devices + 1, devices)]
    return [Slot(each, groups[i % len(groups)] if groups else ()) for i in range(n)]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> list[str]:
    """Names of the GPUs that jobs may use, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(
            command, capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()
