"""The rival: the loop that one would write by hand, on tokens in memory, with nothing around it."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import nn


def bare_loop(
    model: nn.Module,
    vocab_size: int,
    sequences: int,
    length: int,
    *,
    lr: float,
    clip_norm: float,
    compiled: bool,
    autocast: bool,
    device: str,
    warmup_steps: int,
    steps: int,
) -> float:
    """Tokens per second after the warm-up steps."""

    head = model.get_submodule("head")

    def nll(batch: torch.Tensor) -> torch.Tensor:
        logits = head(model(batch[:, :-1])).float()
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    model = model.to(device)
    loss_of = torch.compile(nll) if compiled else nll
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    tokens = torch.randint(vocab_size, (1_000_000,))
    offsets = torch.arange(length + 1)

    def synchronise() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    begin = 0.0
    for step in range(warmup_steps + steps):
        if step == warmup_steps:
            synchronise()
            begin = time.perf_counter()
        starts = torch.randint(len(tokens) - length - 1, (sequences, 1))
        batch = tokens[starts + offsets].to(device, non_blocking=True)
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            loss = loss_of(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    synchronise()
    return steps * sequences * length / (time.perf_counter() - begin)
