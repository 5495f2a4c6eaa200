from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from tests.optim.problem import check_resumes, gpt_and_groups, group, run, train_steps
from windtunnel.optim.muon import Muon, precision, scale_of
from windtunnel.optim.newton_schulz import newton_schulz

SETTINGS: dict[str, Any] = {
    "scale": "original",
    "per_head": False,
    "momentum": 0.95,
    "nesterov": True,
    "steps": 5,
    "betas": (0.9, 0.95),
}
SHAPES = [(6, 6), (12, 6), (6, 12), (6, 6)]


def muon(parameters, **changes) -> Muon:
    own = {key: value for key, value in changes.items() if key in SETTINGS}
    extra = {key: value for key, value in changes.items() if key not in SETTINGS}
    heads = extra.pop("heads", (1, 1))
    groups = [group([p], base_shape=tuple(p.shape), heads=heads, **extra) for p in parameters]
    return Muon(groups, **SETTINGS | own)


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_ten_steps_equal_torch(scale, nesterov) -> None:
    """To the rounding of bfloat16, in which torch's orthogonal matrix is always computed."""
    ours = run(partial(muon, scale=scale, nesterov=nesterov), *SHAPES)
    theirs = run(
        lambda ps: torch.optim.Muon(
            ps, lr=0.05, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn=scale
        ),
        *SHAPES,
    )
    for a, b, start in zip(ours, theirs, run(muon, *SHAPES, steps=0), strict=True):
        assert (a - b).norm() < 0.02 * (b - start).norm()


def test_a_step_on_a_gradient_of_rank_one() -> None:
    """-0.1 sqrt(4/3) f(...f(1)) along u v^T, to the rounding of bfloat16."""
    draw = torch.Generator().manual_seed(0)
    u, v = (torch.nn.functional.normalize(torch.randn(n, generator=draw), dim=0) for n in (4, 3))
    p = torch.nn.Parameter(torch.zeros(4, 3))
    p.grad = 7.0 * torch.outer(u, v)
    muon([p], lr=0.1).step()
    assert (u @ p.detach() @ v).item() == pytest.approx(-0.0804175, rel=0.02)


@pytest.mark.parametrize(
    ("scale", "rows", "columns", "expected"),
    [
        ("original", 16, 4, 2.0),
        ("original", 4, 16, 1.0),
        ("match_rms_adamw", 25, 4, 1.0),
        ("match_rms_adamw", 4, 100, 2.0),
    ],
)
def test_scales_by_hand(scale, rows, columns, expected) -> None:
    assert scale_of(scale, rows, columns) == pytest.approx(expected)


def test_match_rms_gives_an_update_of_the_size_of_adamw() -> None:
    """0.2 where singular values become 1; here they become 0.68 to 1.14."""
    draw = torch.Generator().manual_seed(0)
    for shape in ((32, 32), (128, 32), (32, 128)):
        M = torch.randn(1, *shape, generator=draw)
        update = scale_of("match_rms_adamw", *shape) * newton_schulz(M, 5)
        assert 0.12 < update.square().mean().sqrt() < 0.24


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("per_head", [False, True])
def test_activations_move_by_the_same_amount_at_every_width(scale, per_head) -> None:
    """One step on aligned gradients: mean |change| of what each hidden matrix writes."""
    names = ("query", "output")
    moved: dict[str, list[float]] = {name: [] for name in names}
    for width in (32, 128, 512):
        model, groups = gpt_and_groups("muon", width=width, depth=1)
        for g in groups:
            g["weight_decay"] = 0.0
        optimizer = Muon(groups, **SETTINGS | {"scale": scale, "per_head": per_head})
        x = torch.randn(width, generator=torch.Generator().manual_seed(0))
        matrices = {name: getattr(model.blocks[0].attention, name).weight for name in names}
        before = {name: w.detach().clone() for name, w in matrices.items()}
        for w in matrices.values():
            y = torch.randn(len(w), generator=torch.Generator().manual_seed(1))
            w.grad = torch.outer(y, x)
        optimizer.step()
        for name, w in matrices.items():
            moved[name].append(float(((w.detach() - before[name]) @ x).abs().mean()))
    for sizes in moved.values():
        assert max(sizes) / min(sizes) < 1.15


def test_heads_are_matrices_of_their_own() -> None:
    """Each head's rows as if they had been a parameter by themselves."""
    whole = torch.nn.Parameter(torch.zeros(8, 6))
    whole.grad = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    parts = [torch.nn.Parameter(torch.zeros(4, 6)) for _ in range(2)]
    for part, grad in zip(parts, whole.grad.split(4), strict=True):
        part.grad = grad.clone()
    muon([whole], heads=(2, 2), per_head=True).step()
    muon(parts).step()
    torch.testing.assert_close(whole.detach(), torch.cat(parts).detach(), atol=1e-4, rtol=2e-2)
    alone = torch.nn.Parameter(torch.zeros(8, 6))
    alone.grad = whole.grad.clone()
    muon([alone], heads=(2, 2)).step()
    assert (alone - whole).abs().max() > 1e-2


def test_the_rest_is_trained_by_adamw() -> None:
    """Ten steps of a GPT with its hidden matrices frozen equal torch's AdamW."""
    trained = []
    for build in (partial(Muon, **SETTINGS), partial(torch.optim.AdamW, betas=(0.9, 0.95))):
        model, groups = gpt_and_groups("muon")
        for g in groups:
            for p in g["params"]:
                p.requires_grad_(not g["hidden"])
        train_steps(model, build(groups), 10)
        trained.append(model)
    for a, b in zip(trained[0].parameters(), trained[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_it_resumes_and_learns() -> None:
    optimizer = check_resumes(partial(Muon, **SETTINGS), "muon")
    sizes = {tuple(sorted(state)) for state in optimizer.state.values()}
    assert sizes == {("momentum_buffer",), ("exp_avg", "exp_avg_sq", "step")}


def test_what_has_no_gradient_stays() -> None:
    p, q = (torch.nn.Parameter(torch.ones(3, 3)) for _ in range(2))
    q.grad = torch.ones(3, 3)
    muon([p, q]).step()
    assert torch.equal(p.detach(), torch.ones(3, 3))
    assert not torch.equal(q.detach(), torch.ones(3, 3))


def test_precision_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert precision(torch.device("cpu")) == expected
    assert precision(torch.device("cuda")) == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "wrong"}, r"optim\.build\.scale must be original or match_rms_adamw"),
        ({"momentum": 1.0}, r"optim\.build\.momentum must lie in \[0, 1\), got 1\.0"),
        ({"betas": (0.9, -1.0)}, r"optim\.build\.betas\[1\] must lie in \[0, 1\), got -1\.0"),
        ({"steps": 0}, r"optim\.build\.steps must be 1 or more, got 0"),
    ],
)
def test_bad_settings_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        muon([torch.nn.Parameter(torch.zeros(2, 2))], **change)


def test_groups_of_another_rule_are_refused() -> None:
    _, groups = gpt_and_groups("adam")
    with pytest.raises(ValueError, match=r"optim\.update_rule must be muon for Muon"):
        Muon(groups, **SETTINGS)
