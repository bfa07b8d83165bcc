"""Votes from a table of answers: as `votes.encode` makes them from rows, without an object for each answer."""

from collections.abc import Iterable, Sequence

import numpy as np

from marketplace.quality.consensus.answers import AnswerTable
from marketplace.quality.consensus.choice.votes import Encoded, Votes


def encode_table(table: AnswerTable, names: Sequence[str], classes: Iterable[str] = ()) -> Encoded:
    """Return the votes of a table; `names` are the classes that its values name, one for each of `table.values`."""
    known = list(dict.fromkeys(classes))
    every = (*known, *sorted(set(names) - set(known)))
    codes = {name: code for code, name in enumerate(every)}
    label_of = np.array([codes[name] for name in names], dtype=np.int32)
    task, worker, value = table.codes
    tasks = [table.task_id(code) for code in range(table.tasks)]
    task_order, task_rank = _ranked(tasks)
    worker_order, worker_rank = _ranked(table.workers)
    votes = Votes(
        task_rank[task], worker_rank[worker], label_of[value], len(tasks), len(table.workers), len(every)
    )  # fmt: skip
    return Encoded(
        votes, tuple(tasks[code] for code in task_order), tuple(table.workers[code] for code in worker_order), every
    )


def _ranked(ids: Sequence[object]) -> tuple[list[int], "np.typing.NDArray[np.int32]"]:
    """Return the codes of ids in the order of the ids, and the place of each code in it."""
    order = sorted(range(len(ids)), key=ids.__getitem__)  # type: ignore[arg-type]
    rank = np.empty(len(ids), dtype=np.int32)
    rank[order] = np.arange(len(ids), dtype=np.int32)
    return order, rank
