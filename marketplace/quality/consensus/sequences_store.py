"""What a fit of sequences learned, as JSON by worker's id, and back for the workers of other sentences."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.sequences import Tagging
from marketplace.quality.consensus.sequences_chain import Crowd
from marketplace.quality.consensus.sequences_entities import Habits
from marketplace.quality.consensus.sequences_tags import Floats

_DIGITS: Final = 4
_TABLES: Final = ("alarm", "found", "edge", "named")


def stored_tagging(tagging: Tagging | None, workers: Sequence[UUID]) -> dict[str, Any]:
    """Return a tagging as JSON; of confusions only the cells that hold anything."""
    if tagging is None:
        return {}
    crowd, habits = tagging.crowd, tagging.habits
    known = min(len(workers), crowd.counts.shape[1])
    return {
        "labels": list(tagging.labels),
        "threshold": tagging.threshold,
        "pooled": crowd.pooled.tolist(),
        "step": crowd.step.tolist(),
        "first": crowd.first.tolist(),
        "label": habits.label.tolist(),
        "everyone": {name: getattr(habits, name)[-1].tolist() for name in _TABLES},
        "workers": {
            str(worker): {
                "counts": _sparse(crowd.counts[:, number]),
                **{name: np.round(getattr(habits, name)[number], _DIGITS).tolist() for name in _TABLES},
            }
            for number, worker in enumerate(workers[:known])
        },
    }


def read_tagging(stored: Mapping[str, Any], workers: Sequence[UUID]) -> Tagging | None:
    """Return a stored tagging with rows for these workers; those it does not know are as everyone is."""
    if not stored:
        return None
    pooled, rows = np.array(stored["pooled"], dtype=np.float64), stored["workers"]
    tags, before, _ = pooled.shape
    counts = np.zeros((tags, len(workers), before, tags))
    for number, worker in enumerate(workers):
        if str(worker) in rows:
            cells, values = rows[str(worker)]["counts"]
            own = np.zeros(pooled.size)
            own[np.array(cells, dtype=np.int64)] = values
            counts[:, number] = own.reshape(pooled.shape)
    tables = {name: _table(stored, name, workers) for name in _TABLES}
    habits = Habits(**tables, label=np.array(stored["label"], dtype=np.float64))
    crowd = Crowd(pooled, counts, np.array(stored["step"]), np.array(stored["first"]))
    return Tagging(tuple(stored["labels"]), crowd, habits, float(stored["threshold"]))


def _table(stored: Mapping[str, Any], name: str, workers: Sequence[UUID]) -> Floats:
    everyone = np.array(stored["everyone"][name], dtype=np.float64)
    rows, nothing = stored["workers"], np.zeros_like(everyone)
    own = [np.array(rows[str(worker)][name]) if str(worker) in rows else nothing for worker in workers]
    return np.stack([*(row.reshape(everyone.shape) for row in own), everyone])


def _sparse(counts: Floats) -> tuple[list[int], list[float]]:
    flat = np.round(counts.ravel(), _DIGITS)
    cells = np.flatnonzero(flat)
    return cells.tolist(), flat[cells].tolist()
