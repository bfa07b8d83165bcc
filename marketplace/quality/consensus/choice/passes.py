"""One pass over all votes: posteriors of tasks from log matrices (E), and expected counts from them (M)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import sparse

from marketplace.quality.consensus.choice.votes import Floats, Ints, Layout

_CHUNK: Final = 1 << 18
_SHORT: Final = 16


@dataclass(frozen=True, slots=True)
class Pass:
    """Expected counts `[worker, label, true class]`, expected tasks of each class, and the log-likelihood."""

    counts: Floats
    classes: Floats
    value: float
    change: float


def normalise(scores: Floats) -> Floats:
    """Turn log-odds into probabilities, row by row and in place; return the logarithms of the rows' sums."""
    top = _row_tops(scores)
    scores -= top[:, None]
    np.exp(scores, out=scores)
    total = np.einsum("ij->i", scores)
    scores /= total[:, None]
    return np.asarray(top + np.log(total), dtype=np.float64)


def _row_tops(scores: Floats) -> Floats:
    """Return each row's maximum; by columns where rows are short, which is several times as fast."""
    if scores.shape[1] > _SHORT:
        return np.asarray(scores.max(axis=1), dtype=np.float64)
    top = scores[:, 0].copy()
    for column in range(1, scores.shape[1]):
        np.maximum(top, scores[:, column], out=top)
    return top


@lru_cache(maxsize=1)
def _ones(count: int) -> Floats:
    """The entries of every pass's matrix; made once, since all passes of a fit take equally many."""
    return np.ones(count)


def sweep(
    data: Layout,
    logs: Floats | None,
    prior: Floats | None,
    known: Ints | None,
    posterior: Floats,
    *,
    watched: bool = True,
) -> Pass:
    """Fill `posterior` (tasks × classes) and count.

    `logs` (worker · label × true class) and `prior` are logarithms; without them posteriors are shares of votes.
    `known` clamps tasks whose class is not -1. The largest change of a probability is told only when `watched`. Chunks
    of tasks keep what is held beside `posterior` small.
    """
    classes, columns = data.classes, data.workers * data.classes
    counts, value, change = np.zeros((columns, classes)), 0.0, 0.0
    size = max(_CHUNK, 2 * columns * classes)
    ones = _ones(min(size + int(np.diff(data.start).max(initial=0)), len(data.code)))
    for first, last in data.chunks(size):
        low, high = int(data.start[first]), int(data.start[last])
        start = data.start[first : last + 1] - data.start[first]
        shape = (last - first, columns)
        part = sparse.csr_matrix((ones[: high - low], data.code[low:high], start), shape=shape, copy=False)
        if logs is None or prior is None:
            found = _shares(data.code[low:high] % classes, np.diff(start), classes)
        else:
            found = np.asarray(part @ logs)
            found += prior
            value += _clamped(found, None if known is None else known[first:last])
        if known is not None:
            _clamp(found, known[first:last])
        if watched:
            change = max(change, float(np.abs(found - posterior[first:last]).max(initial=0.0)))
        posterior[first:last] = found
        counts += part.T @ found
    shape3 = (data.workers, classes, classes)
    return Pass(counts.reshape(shape3), np.einsum("ij->j", posterior), value, change)


def _clamped(scores: Floats, known: Ints | None) -> float:
    """Normalise scores in place and return their log-likelihood; a known task counts with its own class only."""
    if known is None or not (known >= 0).any():
        return float(normalise(scores).sum())
    rows = np.flatnonzero(known >= 0)
    own = scores[rows, known[rows]].sum()
    sums = normalise(scores)
    sums[rows] = 0
    return float(sums.sum() + own)


def _clamp(found: Floats, known: Ints) -> None:
    rows = np.flatnonzero(known >= 0)
    found[rows] = 0
    found[rows, known[rows]] = 1


def _shares(labels: Ints, given: Ints, classes: int) -> Floats:
    row = np.repeat(np.arange(len(given)), given)
    flat = np.bincount(row * classes + labels, minlength=len(given) * classes)
    shares = flat.reshape(-1, classes) / np.maximum(given, 1)[:, None]
    shares[given == 0] = 1 / classes
    return np.asarray(shares, dtype=np.float64)
