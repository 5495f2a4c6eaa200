"""Best-fit packing: documents laid into rows so that only those longer than a row are cut.

A document of more than L tokens is cut into pieces of L and a rest. Pieces are placed from the
longest to the shortest, each into the row with the least room that still holds it, or into a new
one. Pieces of equal length are placed together: they fill the rows of least room one after the
other, so that N pieces take O(N log N + L^2) steps, with the sort, in place of O(N log L) with a
tree of rooms.
Source: Ding et al. 2024, arXiv 2404.10830, section 3; best-fit decreasing: Johnson 1973.

Axes: N pieces, K rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy import ndarray


class Rows(NamedTuple):
    """Pieces in rows: row k holds `pieces[offsets[k] : offsets[k + 1]]`.

    starts: first token of each piece in the stream [N]. lengths: its tokens [N].
    """

    pieces: ndarray
    offsets: ndarray
    starts: ndarray
    lengths: ndarray


def best_fit(lengths_N: ndarray, capacity: int) -> ndarray:
    """The row of each piece [N]: an index from 0 on; no piece may exceed `capacity`."""
    order_N = np.argsort(-lengths_N, kind="stable")
    rows_N = np.empty(len(lengths_N), np.int64)
    rooms: list[list[ndarray]] = [[] for _ in range(capacity + 1)]  # rows by the room they have
    n_with_room = np.zeros(capacity + 1, np.int64)
    n_rows = 0
    sizes, firsts = np.unique(-lengths_N[order_N], return_index=True)
    borders = pairwise([*firsts.tolist(), len(order_N)])
    for size, (first, end) in zip((-sizes).tolist(), borders, strict=True):
        pieces = order_N[first:end]
        while len(pieces):
            fitting = np.flatnonzero(n_with_room[size:])
            room = size + int(fitting[0]) if len(fitting) else capacity
            each = room // size
            n_wanted = -(-len(pieces) // each)
            if len(fitting):
                there = np.concatenate(rooms[room])
                taken, left = there[:n_wanted], there[n_wanted:]
                rooms[room], n_with_room[room] = [left], len(left)
            else:
                taken = np.arange(n_rows, n_rows + n_wanted)
                n_rows += n_wanted
            n_placed = min(len(pieces), each * len(taken))
            rows_N[pieces[:n_placed]] = np.repeat(taken, each)[:n_placed]
            pieces = pieces[n_placed:]
            in_last = n_placed - each * (len(taken) - 1)
            for own, n in ((taken[:-1], each), (taken[-1:], in_last)):
                rooms[room - n * size].append(own)
                n_with_room[room - n * size] += len(own)
    return rows_N


def cut(firsts: ndarray, n_tokens: ndarray, capacity: int) -> tuple[ndarray, ndarray]:
    """Starts and lengths of the pieces [N] of documents, each of at most `capacity` tokens."""
    n_pieces = -(-n_tokens // capacity)
    document = np.repeat(np.arange(len(firsts)), n_pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    starts = firsts[document] + number * capacity
    return starts, np.minimum(capacity, n_tokens[document] - number * capacity)


def pack(firsts: ndarray, n_tokens: ndarray, capacity: int) -> Rows:
    """Documents in rows of `capacity` tokens, the longest piece of a row first."""
    starts, lengths = cut(firsts, n_tokens, capacity)
    rows_N = best_fit(lengths, capacity)
    pieces = np.lexsort((-lengths, rows_N))
    n_rows = int(rows_N.max()) + 1 if len(rows_N) else 0
    offsets = np.searchsorted(rows_N[pieces], np.arange(n_rows + 1))
    return Rows(pieces, offsets, starts, lengths)
