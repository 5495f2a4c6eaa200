"""The helpers on plain tensors, and on tensors cut over a single process; see also test_fsdp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed

from windtunnel import shards


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[object]:
    from torch.distributed.device_mesh import init_device_mesh

    file = f"file://{tmp_path}/rendezvous"
    distributed.init_process_group("gloo", init_method=file, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_a_tensor_that_is_not_cut_passes_as_it_is() -> None:
    x, y = torch.zeros(2, 3), torch.ones(2, 3)
    assert not shards.is_sharded(x)
    assert shards.local(x) is shards.whole(x) is shards.placed(x, y) is x
    assert shards.whole_from(x, y) is x
    values = {"a": [x, (1, "b")], "c": {0: None}}
    assert shards.gathered(values, keep=False) == values


def test_what_is_done_to_the_own_part_is_done_to_the_tensor(mesh: object) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    values = torch.arange(6.0).view(3, 2)
    cut = distribute_tensor(values.clone(), mesh, [Shard(0)])  # type: ignore[arg-type]
    assert shards.is_sharded(cut)
    shards.local(cut).mul_(2)
    assert torch.equal(shards.whole(cut), 2 * values)
    assert torch.equal(shards.whole_from(shards.local(cut), cut), 2 * values)
    placed = shards.placed(values, cut)
    assert shards.is_sharded(placed)
    assert torch.equal(shards.whole(placed), values)
    assert shards.placed(cut, cut) is cut


@pytest.mark.parametrize("keep", [True, False])
def test_only_the_writer_keeps_what_is_gathered(mesh: object, keep: bool) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    values = torch.arange(6.0).view(3, 2)
    cut = distribute_tensor(values.clone(), mesh, [Shard(0)])  # type: ignore[arg-type]
    found = shards.gathered({"a": [cut], "b": 1}, keep)
    assert found["b"] == 1
    if keep:
        assert torch.equal(found["a"][0], values)
    else:
        assert found["a"] == [None]


def test_who_is_right_on_shards_says_so() -> None:
    parameter = [torch.zeros(2)]
    assert shards.takes_shards(torch.optim.AdamW(parameter))
    assert not shards.takes_shards(torch.optim.Adagrad(parameter))
