"""Runs a function on several ranks, each a process forked from a warm server."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

SECONDS = 240


def on_ranks(n: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returns on each of `n` ranks that Lightning takes for its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "lightning", "windtunnel.run"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ends = []
    for rank in range(n):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_do, args=(sender, rank, n, port, work, arguments))
        process.start()
        sender.close()
        ends.append((process, receiver))
    found, said = [], []
    for process, receiver in ends:
        try:
            value, error = receiver.recv() if receiver.poll(SECONDS) else (None, "took too long")
        except EOFError:
            value, error = None, "died"
        found.append(value)
        said += [error] if error else []
        if error:
            for other, _ in ends:
                other.terminate()
        process.join()
    assert not said, "\n".join(said)
    return found


def _do(sender: Any, rank: int, n: int, port: int, work: Any, arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(n), MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )  # fmt: skip
    try:
        message = work(*arguments), ""
    except BaseException:
        message = None, f"rank {rank}: {traceback.format_exc()}"
    sender.send(message)
    sender.close()
    sys.stdout.flush()
    os._exit(0)  # a rank that waits for one that has failed would never end
