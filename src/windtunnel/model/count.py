"""Counts of parameters and of floating-point operations, each under the name of its convention.

N: `total` counts every parameter once; `non_embedding` leaves out token and position tables and
the output matrix (Kaplan et al. 2020, arXiv 2001.08361); `with_head` adds the output matrix, tied
or not. FLOPs per training token, forward and backward, with L layers, V vocabulary, d width,
T context: `kaplan` 6 N; `head_counted` 6 (N + V d); `causal_attention` adds 6 L T d (Porian et al.
2024, arXiv 2406.19146); `palm` adds 12 L T d instead (Chowdhery et al. 2022, arXiv 2204.02311).
"""

from __future__ import annotations

from windtunnel.interfaces import Parametrized, Role

OUTSIDE = (Role.INPUT, Role.OUTPUT)


def parameter_counts(model: Parametrized) -> dict[str, int]:
    """Number of parameters by convention."""
    places = model.roles()
    sizes = {name: p.numel() for name, p in model.named_parameters(remove_duplicate=False)}
    inside = sum(size for name, size in sizes.items() if places[name].role not in OUTSIDE)
    head = sum(size for name, size in sizes.items() if places[name].role is Role.OUTPUT)
    return {
        "total": sum(p.numel() for p in model.parameters()),
        "non_embedding": inside,
        "with_head": inside + head,
    }


def flops_per_token(
    counts: dict[str, int], *, depth: int, width: int, length: int
) -> dict[str, float]:
    """FLOPs of one training token by convention; `width` is heads times head size."""
    attention = float(depth * length * width)
    return {
        "kaplan": 6.0 * counts["non_embedding"],
        "head_counted": 6.0 * counts["with_head"],
        "causal_attention": 6.0 * counts["with_head"] + 6.0 * attention,
        "palm": 6.0 * counts["with_head"] + 12.0 * attention,
    }
