"""Which tokens share a row of a VQ-Logits head: a code for every token of the vocabulary.

Frequent tokens keep a code of their own, since tokens of one code can never be told apart; the
others share what is left. What is frequent has to be known before the first batch is read:

- `ByRank` takes the id for the rank. In a vocabulary of byte pairs ids follow the order of the
  merges, most frequent first; but the separator and the 256 bytes stand before all merges, rare
  ones too, and merged parts lose what their merges took. In any other vocabulary ids say nothing.
  The others are shared out in their order, so that those of a code are about equally frequent.
- `ByMeans` takes the same ids for the frequent ones, and gathers the others by k-means over the
  rows of a trained token table: tokens of one code then have a like use.

Source: arXiv 2505.10202 leaves the assignment open ("learned or pre-assigned"); half of the codes
for the frequent tokens and k-means for the rest are our reading. k-means: Lloyd 1982, equation 4;
a code that loses all its tokens takes the one that lies farthest from its mean.

Axes: V vocabulary, K codes, M tokens that share codes, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class ByRank:
    """Codes by the order of the ids. `singletons`: share of the codes that have one token."""

    singletons: float

    def __post_init__(self) -> None:
        check_singletons(self.singletons)

    def __call__(self, vocab_size: int, n_codes: int) -> Tensor:
        """Codes of all tokens [V]; each of the `n_codes` has one at least."""
        n_alone = alone(n_codes, self.singletons)
        order_M = torch.arange(vocab_size - n_alone, device="cpu")
        shared_M = n_alone + order_M * (n_codes - n_alone) // max(len(order_M), 1)
        return torch.cat([torch.arange(n_alone, device="cpu"), shared_M])


@dataclass(frozen=True)
class ByMeans:
    """Codes by k-means over a trained token table.

    checkpoint: file of a job with the same tokenizer. table: name of the token table in it.
    singletons: as in `ByRank`. iterations: of k-means. seed: of its start.
    """

    checkpoint: str
    table: str
    singletons: float
    iterations: int
    seed: int

    def __post_init__(self) -> None:
        check_singletons(self.singletons)
        if not Path(self.checkpoint).is_file():
            raise ValueError(
                f"model.head.assign.checkpoint: there is no file {self.checkpoint}: give the "
                "checkpoint of a job that has trained (JOB/checkpoints/last.ckpt), or take "
                "model/head=vq, which needs none"
            )

    def __call__(self, vocab_size: int, n_codes: int) -> Tensor:
        """Codes of all tokens [V]; each of the `n_codes` has one at least."""
        rows_VD = self._rows(vocab_size)
        n_alone = alone(n_codes, self.singletons)
        generator = torch.Generator().manual_seed(self.seed)
        shared_M = means(rows_VD[n_alone:], n_codes - n_alone, self.iterations, generator)
        return torch.cat([torch.arange(n_alone, device="cpu"), n_alone + shared_M])

    def _rows(self, vocab_size: int) -> Tensor:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        if self.table not in state:
            raise ValueError(
                f"model.head.assign.table: {self.checkpoint} holds no {self.table}; it holds "
                f"{', '.join(sorted(state))}"
            )
        rows_VD = state[self.table].float()
        if len(rows_VD) != vocab_size:
            raise ValueError(
                f"model.head.assign.checkpoint: expected a table of {vocab_size} tokens, got "
                f"{len(rows_VD)} in {self.checkpoint}: give one that had the same tokenizer"
            )
        return rows_VD


def check_singletons(singletons: float) -> None:
    """Refuses a share that is none."""
    if not 0 <= singletons <= 1:
        raise ValueError(
            "model.head.assign.singletons is the share of codes that have one token, between 0 "
            f"and 1; got {singletons}"
        )


def alone(n_codes: int, singletons: float) -> int:
    """How many codes have one token; one code at least is left to share."""
    return min(round(n_codes * singletons), n_codes - 1)


def means(rows_MD: Tensor, n_codes: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Codes 0 to `n_codes` - 1 of rows by k-means [M], every code used; at least as many rows."""
    centres_KD = rows_MD[torch.randperm(len(rows_MD), generator=generator)[:n_codes]].clone()
    codes_M = torch.zeros(len(rows_MD), dtype=torch.long, device="cpu")
    for _ in range(iterations):
        distance_M, codes_M = torch.cdist(rows_MD, centres_KD).min(-1)
        codes_M = _fill(codes_M, distance_M, n_codes)
        sums_KD = torch.zeros_like(centres_KD).index_add_(0, codes_M, rows_MD)
        centres_KD = sums_KD / torch.bincount(codes_M, minlength=n_codes)[:, None]
    return codes_M


def _fill(codes_M: Tensor, distance_M: Tensor, n_codes: int) -> Tensor:
    """Gives each code without a row the farthest row of a code that has several."""
    codes_M, distance_M = codes_M.clone(), distance_M.clone()
    sizes_K = torch.bincount(codes_M, minlength=n_codes)
    for code in (sizes_K == 0).nonzero().flatten().tolist():
        spare_M = torch.where(sizes_K[codes_M] > 1, distance_M, -1.0)
        row = int(spare_M.argmax())
        sizes_K[codes_M[row]] -= 1
        sizes_K[code] = 1
        codes_M[row], distance_M[row] = code, 0.0
    return codes_M
