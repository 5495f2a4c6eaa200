"""What every test runs under: one thread, no network, and no cache of the user's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.rooms import write_rooms

# The processes of pytest-xdist inherit the folder, so a store or tokenizer is built once for all.
MADE_HERE = "WINDTUNNEL_TEST_HOME" not in os.environ
if MADE_HERE:
    os.environ["WINDTUNNEL_TEST_HOME"] = tempfile.mkdtemp(prefix="windtunnel-")
HOME = Path(os.environ["WINDTUNNEL_TEST_HOME"])

# A shell that starts tests in the background makes them deaf to Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Set before anything imports torch, numpy, wandb or a hub client: they read these once.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    MPLBACKEND="agg",
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    WINDTUNNEL_CACHE=str(HOME / "cache"),
    HF_HOME=str(HOME / "hub"),
    WANDB_DIR=str(HOME / "wandb"),
    WANDB_CACHE_DIR=str(HOME / "wandb-cache"),
    WANDB_DATA_DIR=str(HOME / "wandb-data"),
    WANDB_CONFIG_DIR=str(HOME / "wandb-config"),
    TORCHINDUCTOR_CACHE_DIR=str(HOME / "inductor"),
)
(HOME / "wandb").mkdir(exist_ok=True)

LOOPBACK = ("127.", "localhost", "::1")


def pytest_unconfigure() -> None:
    """Removes the caches when the process that made them ends."""
    if MADE_HERE:
        shutil.rmtree(HOME, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Shows what tests have counted, such as kills by signal: `record_property("counts", ...)`."""
    counted: dict[str, Counter[str]] = {}
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == "counts":
                counted.setdefault(value[0], Counter()).update(value[1])
    if counted:
        terminalreporter.section("counts")
    for name, counts in sorted(counted.items()):
        said = ", ".join(f"{n} {what}" for what, n in counts.items())
        terminalreporter.write_line(f"{name:20} {said}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests that need a GPU where there is none."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Keeps tests that run side by side from fighting over the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def rooms(tmp_path: Path) -> dict[str, Path]:
    """A small `conf` and `recipes`, by these names."""
    return write_rooms(tmp_path)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test connect to this machine only."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test tried to reach {address[0]}: tests run without network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
