"""The training documents of a token store: where each begins, how long it is, what domain it is of.

A document's number is its place in the store, which is the order of the hashes of contents, so it
says nothing about the source. Its tokens are its separator, where the tokenizer has one, and then
its text. Nothing is copied: the columns are mapped into memory by whoever reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from windtunnel.data import scores
from windtunnel.data.packing import START_DOMAINS, STARTS, TRAIN
from windtunnel.data.store import Store, map_file


@dataclass(frozen=True)
class Documents:
    """The table of them; `stream` holds their tokens one after the other."""

    store: Store

    def __len__(self) -> int:
        return len(self.firsts)

    def __getstate__(self) -> dict[str, Any]:
        """The store alone: another process maps the files itself."""
        return {"store": self.store}

    @cached_property
    def stream(self) -> ndarray:
        """The packed training stream."""
        return self.store.stream(TRAIN)

    @cached_property
    def firsts(self) -> ndarray:
        """First token of each document [n]."""
        return map_file(self.store.folder / STARTS, "int64")

    @cached_property
    def domains(self) -> ndarray:
        """Index of the domain of each document [n]."""
        return map_file(self.store.folder / START_DOMAINS, "uint16")

    @property
    def domain_names(self) -> list[str]:
        """Names of the domains, as `domains` counts them."""
        return [domain.name for domain in self.store.domains]

    @cached_property
    def end(self) -> int:
        """Where the last document ends; a closing separator is none of its tokens."""
        return len(self.stream) - (self.store.meta["eot"] is not None)

    def n_tokens(self, numbers: ndarray) -> ndarray:
        """Tokens of the documents with these numbers [m]."""
        ends = np.take(self.firsts, numbers + 1, mode="clip")
        ends[numbers == len(self) - 1] = self.end
        return ends - self.firsts[numbers]

    def score(self, name: str) -> ndarray:
        """A score column [n]; -inf where a document is not to be chosen."""
        return scores.read(self.store.folder, name)
