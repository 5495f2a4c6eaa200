"""The server that job processes are forked from."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import BaseContext


def start(preload: Sequence[str]) -> BaseContext:
    """Starts to import the modules in a server beside this process, and returns at once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *preload])
    forkserver.ensure_running()
    return context
