from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.made import made_module
from windtunnel.data.masked_inputs import MaskedInputs
from windtunnel.interfaces import IGNORE_INDEX, Batch

MASK = 257


def made_transform(**changes: Any) -> MaskedInputs:
    return MaskedInputs(**{"share": 0.4, "ramp_tokens": 640, "seed": 3, **changes})


def batches(module: Any, n: int) -> list[Batch]:
    loader = iter(module.train_dataloader())
    return [next(loader) for _ in range(n)]


def test_the_share_grows_to_the_end_of_its_ramp() -> None:
    transform = made_transform()
    found = [transform.probability(tokens) for tokens in (0, 320, 640, 10**9)]
    assert found == [0.0, 0.2, 0.4, 0.4]
    assert made_transform(ramp_tokens=0).probability(0) == 0.4


def test_as_many_inputs_are_hidden_as_asked() -> None:
    hidden = made_transform().hidden(100, (100, 1000))
    assert abs(hidden.double().mean() - 0.4) < 3 * (0.4 * 0.6 / hidden.numel()) ** 0.5
    half = made_transform(ramp_tokens=2 * 10**7).hidden(100, (100, 1000))
    assert abs(half.double().mean() - 0.2) < 3 * (0.2 * 0.8 / half.numel()) ** 0.5


def test_hides_inputs_and_leaves_targets_and_prompts_alone() -> None:
    tokens = torch.arange(60).view(3, 20)
    targets = tokens + 1
    targets[:, :8] = IGNORE_INDEX  # the next tokens of a prompt of 9
    batch = Batch(tokens, targets, None, torch.zeros(3, dtype=torch.long))
    everything = torch.ones(3, 20, dtype=torch.bool)
    found = made_transform()(batch, everything, MASK)
    assert torch.equal(found.targets_BT, targets)
    assert torch.equal(found.tokens_BT[:, :9], tokens[:, :9])
    assert (found.tokens_BT[:, 9:] == MASK).all()
    assert torch.equal(batch.tokens_BT, torch.arange(60).view(3, 20))


def test_training_begins_without_masks_and_then_has_them(tmp_path: Path) -> None:
    plain, masked = made_module(tmp_path), made_module(tmp_path, transform=made_transform())
    assert (plain.vocab_size, masked.vocab_size) == (257, 258)
    assert (plain.digests["vocab_size"], masked.digests["vocab_size"]) == (257, 258)
    own, others = batches(plain, 20), batches(masked, 20)
    assert torch.equal(own[0].tokens_BT, others[0].tokens_BT)
    shares = []
    for a, b in zip(own, others, strict=True):
        assert torch.equal(a.targets_BT, b.targets_BT)
        hidden = b.tokens_BT == MASK
        assert torch.equal(a.tokens_BT[~hidden], b.tokens_BT[~hidden])
        assert not hidden[:, 0].any()
        shares.append(float(hidden[:, 1:].double().mean()))
    assert 0.3 < sum(shares[10:]) / 10 < 0.5


def test_evaluation_sees_everything(tmp_path: Path) -> None:
    plain, masked = made_module(tmp_path), made_module(tmp_path, transform=made_transform())
    for a, b in zip(plain.val_dataloader(), masked.val_dataloader(), strict=True):
        assert torch.equal(a.tokens_BT, b.tokens_BT)


def test_masks_depend_on_seed_and_batch_alone(tmp_path: Path) -> None:
    def seen(n: int = 12, **changes: Any) -> torch.Tensor:
        module = made_module(tmp_path, transform=made_transform(), **changes)
        return torch.cat([batch.tokens_BT for batch in batches(module, n)])

    found = seen()
    assert torch.equal(seen(workers=2), found)
    later = made_module(tmp_path, transform=made_transform())
    later.set_start(5)
    assert torch.equal(torch.cat([b.tokens_BT for b in batches(later, 7)]), found[20:])
    other = made_module(tmp_path, transform=made_transform(seed=4))
    assert not torch.equal(torch.cat([b.tokens_BT for b in batches(other, 12)]), found)


def test_devices_share_the_masks_of_one(tmp_path: Path) -> None:
    class Ranked:
        world_size, global_step = 2, 0

        def __init__(self, rank: int) -> None:
            self.global_rank = rank

    whole = batches(made_module(tmp_path, transform=made_transform()), 8)
    halves = []
    for rank in range(2):
        module = made_module(tmp_path, transform=made_transform())
        module.trainer = Ranked(rank)  # pyright: ignore
        halves.append(batches(module, 8))
    for batch, *parts in zip(whole, *halves, strict=True):
        assert torch.equal(batch.tokens_BT, torch.cat([part.tokens_BT for part in parts]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"share": 1.2}, r"transform\.share must lie in \[0, 1\], got 1.2"),
        ({"ramp_tokens": -1}, r"transform\.ramp_tokens must not be below 0"),
    ],
)
def test_what_cannot_be_hidden_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_transform(**changes)
