"""Sets of options as a kind of label: the posterior of each option, and a confidence in the whole set set by gold."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.coded_rows import CodedRows, code_rows
from marketplace.quality.consensus.engine import AnswerRow, Calibration, Learned, TaskConsensus
from marketplace.quality.consensus.multilabel import SetAnswers, SetParameters, fit_sets, place_sets
from marketplace.quality.consensus.posterior import pick
from marketplace.quality.consensus.tempering import FACTORS, LEAST_GOLD, calibrate, factor_of
from marketplace.quality.consensus.worker_skill import skills_of
from marketplace.quality.spec import LabelSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class MultiLabelModel:
    """Labels that are sets of options."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn what each worker sees and overlooks; with gold, also how honest the confidence in a set is."""
        del seed
        rows = code_rows(answers)
        names = _names(spec, [row.value for row in rows.rows], [gold[task] for task in rows.tasks if task in gold])
        coded = _set_answers(spec, rows, names)
        known = {index: _as_mask(spec.main(gold[task]), names) for index, task in enumerate(rows.tasks) if task in gold}
        fit = fit_sets(coded, known)
        calibration = Calibration()
        if len(known) >= LEAST_GOLD:
            free = fit_sets(coded, {}).inside[list(known)]
            calibration = _calibrate(free, np.array(list(known.values())) > 0)
        said = _said(coded)
        belief = fit.inside[coded.task]
        # the probability that all of the answer is right, option by option
        right = np.where(said, belief, 1 - belief).prod(axis=1) ** factor_of(calibration)
        on_gold = np.isin(coded.task, list(known))
        skills = skills_of(rows.workers, rows.by_worker(right), rows.by_worker(), rows.by_worker(on_gold))
        model = fit.parameters
        table = {
            str(worker): [seen, spared]
            for worker, seen, spared in zip(rows.workers, model.seen.tolist(), model.spared.tolist(), strict=True)
        }
        parameters = {"names": names, "share": model.share.tolist(), "usual": list(fit.usual), "workers": table}
        return Learned(skills, parameters, fit.record, calibration)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the set of options more probably in than out, and how probably all of it is right.

        It has no fewer and no more options than some answer to the task has, so that it keeps the schema's bounds.
        """
        del seed
        rows = code_rows(answers)
        if not rows.tasks:
            return []
        names = _names(spec, [row.value for row in rows.rows], [], learned.parameters["names"])
        coded = _set_answers(spec, rows, names)
        inside = place_sets(coded, _from_json(learned.parameters, rows.workers, names))[0]
        power = factor_of(learned.calibration)
        sizes = _said(coded).sum(axis=1)
        least = np.full(len(rows.tasks), len(names))
        np.minimum.at(least, coded.task, sizes)
        most = np.zeros(len(rows.tasks), dtype=np.int64)
        np.maximum.at(most, coded.task, sizes)
        given = rows.by_task()
        found = []
        for index, task in enumerate(rows.tasks):
            chosen = _choose(task, inside[index], names, int(least[index]), int(most[index]))
            sure = float(np.where(chosen, inside[index], 1 - inside[index]).prod() ** power)
            value = [name for name, kept in zip(names, chosen, strict=True) if kept]
            odds = dict(zip(names, inside[index].tolist(), strict=True))
            found.append(TaskConsensus(task, spec.answer(value), sure, odds, int(given[index])))
        return found


def _choose(task: UUID, inside: Floats, names: Sequence[str], least: int, most: int) -> Bools:
    """Take the options that are more probably in, and the most probable ones where that is too few or too many."""
    chosen = np.array(
        [bool(pick(task, np.array([1 - share, share]), [f"{name} out", f"{name} in"]))
         for name, share in zip(names, inside.tolist(), strict=True)], dtype=bool,
    )  # fmt: skip
    size = int(np.clip(chosen.sum(), least, most))
    if size != chosen.sum():
        # what stands at one half and was drawn in goes before what is out
        order = np.lexsort((np.arange(len(names)), ~chosen, -inside))
        chosen = np.zeros(len(names), dtype=bool)
        chosen[order[:size]] = True
    return chosen


def _calibrate(free: Floats, truth: Bools) -> Calibration:
    """Choose the power of the whole set's confidence under which sets are right as often as is said."""
    chosen = free > 0.5
    sure = np.where(chosen, free, 1 - free).prod(axis=1)
    return calibrate("power", sure ** FACTORS[:, None], np.asarray((chosen == truth).all(axis=1), dtype=bool))


def _names(spec: LabelSpec, answers: Iterable[Any], gold: Iterable[Any], known: Sequence[str] = ()) -> list[str]:
    """Return the schema's options, those a fit knew, and after them those that answers name besides, sorted."""
    base = list(dict.fromkeys([*spec.classes, *known]))
    extra = {name for value in [*answers, *gold] for name in spec.main(value)} - set(base)
    return [*base, *sorted(extra)]


def _as_mask(value: Sequence[str], names: Sequence[str]) -> Floats:
    chosen = set(value)
    return np.array([float(name in chosen) for name in names])


def _set_answers(spec: LabelSpec, rows: CodedRows, names: Sequence[str]) -> SetAnswers:
    place = {name: index for index, name in enumerate(names)}
    # an option named twice is named once
    named = [
        (int(task), int(worker), place[name])
        for row, task, worker in zip(rows.rows, rows.task, rows.worker, strict=True)
        for name in dict.fromkeys(spec.main(row.value))
    ]
    table = np.array(named, dtype=np.int64).reshape(-1, 3)
    return SetAnswers(
        rows.task, rows.worker, table[:, 0], table[:, 1], table[:, 2], len(rows.tasks), len(rows.workers), len(names)
    )


def _said(coded: SetAnswers) -> Bools:
    """Return which options each answer names, answers × options."""
    said = np.zeros((len(coded.task), coded.options), dtype=bool)
    # answers are in the order of (task, worker), and so are the names: each finds its answer by its key
    key = coded.task * coded.workers + coded.worker
    row = np.searchsorted(key, coded.named_task * coded.workers + coded.named_worker)
    said[row, coded.named_option] = True
    return said


def _from_json(parameters: Mapping[str, Any], workers: Sequence[UUID], names: Sequence[str]) -> SetParameters:
    """Return the rates of these workers; what the fit had not met is as usual, and as seldom as not."""
    known, old = parameters["workers"], len(parameters["names"])
    seen = np.full((len(workers), len(names)), parameters["usual"][0])
    spared = np.full((len(workers), len(names)), parameters["usual"][1])
    # a fit's options come first, in its order, whatever answers name besides
    for index, worker in enumerate(workers):
        if str(worker) in known:
            seen[index, :old], spared[index, :old] = known[str(worker)]
    share = np.full(len(names), 0.5)
    share[:old] = parameters["share"]
    return SetParameters(share, seen, spared)
