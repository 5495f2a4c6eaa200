"""The C++ kernel of cut cross-entropy: built once, and used where it can be.

It lies in torch's folder of extensions under a name that holds a digest of its sources, its flags
and torch's version, and comes there whole or not at all, so processes may build it side by side.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import subprocess
import tempfile
from pathlib import Path

import torch
from torch.utils import cpp_extension

from windtunnel.interfaces import IGNORE_INDEX
from windtunnel.loss.backends.cut_blocks import Work
from windtunnel.loss.backends.scored import Problem, Terms

SOURCES = Path(__file__).with_name("cut_cpp")  # one of them includes the others
FLAGS = (
    *("-O3", "-std=c++20", "-shared", "-fPIC", "-fopenmp"),
    *("-march=x86-64-v4", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math"),
)
TYPES = {
    (torch.float32, torch.float32),
    (torch.bfloat16, torch.bfloat16),
    (torch.bfloat16, torch.float32),
}
FEWEST_TOKENS, MOST_TOKENS = 128, 384  # of a block; more spill the cache
log = logging.getLogger(__name__)


def can_score(problem: Problem, terms: Terms) -> bool:
    """Whether the kernel knows the types and the terms, and runs on this machine."""
    types = problem.hidden_ND.dtype, problem.weight_VD.dtype
    if types not in TYPES or (terms.label_smoothing and problem.softcap is not None):
        return False
    return is_there() and (types[0] == torch.float32 or torch.cpu._is_avx512_bf16_supported())


def cut_in_kernel(problem: Problem, terms: Terms, *, needs_gradient: bool) -> Work:
    """Values per token and, where wanted, the gradients of the loss."""
    hidden_ND, weight_VD, bias_V, softcap, targets_N, token_weights_N = problem
    bias_V = token_weights_N.new_zeros(0) if bias_V is None else bias_V.float().contiguous()
    results = torch.ops.windtunnel_cut.cut(
        hidden_ND.contiguous(),
        weight_VD.contiguous(),
        bias_V,
        targets_N.contiguous(),
        token_weights_N.contiguous(),
        softcap or 0.0,
        terms.label_smoothing,
        terms.z_loss,
        needs_gradient,
        IGNORE_INDEX,
        block_tokens(len(hidden_ND)),
    )
    return Work(*results)


def block_tokens(n_tokens: int) -> int:
    """Tokens of a block, so that its scratch [V, block] is at most a tenth of the logits."""
    return min(max(n_tokens // 10, FEWEST_TOKENS), MOST_TOKENS)


@functools.cache
def is_there() -> bool:
    """Whether the kernel could be loaded, built first where needed; says once why not."""
    if not torch.cpu._is_avx512_supported():
        log.info("the loss runs in plain torch: its kernel needs a processor with AVX-512")
        return False
    try:
        torch.ops.load_library(str(built()))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the loss runs in plain torch, which is slower: no kernel (%s)", error)
        return False
    return True


def built() -> Path:
    """The kernel's library.

    Raises:
        OSError: there is no compiler, or no place to write to.
        subprocess.SubprocessError: the compiler fails.
    """
    sources = sorted(path for path in SOURCES.iterdir() if path.suffix in (".cpp", ".h"))
    parts = (*(path.read_text() for path in sources), *FLAGS, torch.__version__)
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root()
    folder = Path(root) / "windtunnel_cut"
    library = folder / f"{digest}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as build:
            part = Path(build) / library.name
            subprocess.run(command(part), check=True, capture_output=True)
            part.replace(library)
    return library


def command(library: Path) -> list[str]:
    """The compiler's command line."""
    torch_lib = Path(torch.__file__).parent / "lib"
    return [
        os.environ.get("CXX", "g++"),
        *FLAGS,
        *(f"-isystem{path}" for path in cpp_extension.include_paths()),
        str(SOURCES / "cut.cpp"),
        *("-o", str(library), f"-L{torch_lib}", "-ltorch_cpu", "-lc10"),
    ]
