"""Tensors of which every device holds a part: how to reach the own part, and the whole.

A shard is a `DTensor` of torch. What computes entry by entry works on `local` parts; what needs a
whole matrix, or leaves the job, takes `whole`. A tensor that is not sharded passes through all of
them as it is, so that nothing else has to ask.

Source: Zhao et al. 2023, arXiv 2304.11277 (FSDP); torch.distributed.fsdp.fully_shard.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ELEMENTWISE = (torch.optim.AdamW, torch.optim.SGD)  # what they do to an entry, it alone decides


def is_sharded(tensor: Any) -> bool:
    """Whether this device holds only a part of the tensor."""
    return hasattr(tensor, "full_tensor")  # of DTensor, whose import costs every start its time


def local(tensor: Any) -> Tensor:
    """The own part of a tensor; what is done to it in place is done to the tensor."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def whole(tensor: Any) -> Tensor:
    """All of a tensor; every device has to ask at the same time."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def whole_from(part: Tensor, like: Any) -> Tensor:
    """All of a tensor of which every device has a part, cut as `like` is."""
    if not is_sharded(like):
        return part
    from torch.distributed.tensor import DTensor

    mesh, placements = like.device_mesh, like.placements
    cut = DTensor.from_local(part, mesh, placements, shape=like.shape, stride=like.stride())
    return cut.full_tensor()


def placed(values: Any, like: Any) -> Any:
    """Whole values that every device has, on the device of `like` and cut as it is."""
    values = values.to(like.device)
    if is_sharded(values) or not is_sharded(like):
        return values
    from torch.distributed.tensor import distribute_tensor

    # Without a source each device cuts its part out of the values that it has.
    return distribute_tensor(values, like.device_mesh, like.placements, src_data_rank=None)


def gathered(values: Any, keep: bool) -> Any:
    """Nested values with whole tensors on the processor, or without them where not to `keep`."""
    if isinstance(values, dict):
        return {key: gathered(value, keep) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)([gathered(value, keep) for value in values])
    if not is_sharded(values):
        return values
    tensor = values.detach().full_tensor()
    return tensor.cpu() if keep else None


def shard(objective: Any, mesh: Any) -> None:
    """Cuts the parameters of every block, and around them of the objective, over the devices.

    They are cut again after each pass, those of the objective too, so that between passes every
    parameter is a shard.
    """
    from torch.distributed.fsdp import fully_shard

    blocks: list[nn.Module] = list(objective.model.blocks)
    for module in [*blocks, objective]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)


def takes_shards(optimizer: Any) -> bool:
    """Whether an optimiser says that it is right on shards, or is one of torch's that are."""
    return isinstance(optimizer, ELEMENTWISE) or getattr(optimizer, "takes_shards", False)
