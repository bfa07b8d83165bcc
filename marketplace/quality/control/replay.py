"""Running rules over history, event by event: the live job and the dry run are this one pure function.

An action is never taken twice on the same evidence: after it, a rule counts a worker's later events only, and it rests
while its action is in force.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

from scipy.special import betaincinv

from marketplace.quality.control.rules import (
    AddSkill,
    Collector,
    CollectorKind,
    ControlRule,
    Figure,
    Notify,
    Operator,
    SetSkill,
)
from marketplace.quality.policy import INTERVAL_LEVEL


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a worker on a request; counts are those of this one bundle.

    `submitted` is a bundle that was judged for the first time; a judged rework counts its gold and agreement only.
    `seconds` are those a task took on average, None when nothing was measured.
    """

    id: UUID
    at: datetime
    tasks: int = 0
    submitted: bool = False
    given_up: bool = False
    gold: tuple[int, int] = (0, 0)
    agreement: tuple[int, int] = (0, 0)
    decided: bool = False
    accepted: bool = False
    earned_minor: int = 0
    seconds: float | None = None
    review: tuple[int, int] = (0, 0)
    integrity: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Used:
    """What an earlier action of a rule's name on a worker took: evidence up to `until`; the rule rests until then."""

    until: datetime
    rests_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that holds for a worker at an event: what is to be done until when, and the figures it rests on."""

    rule: ControlRule
    worker: UUID
    event: UUID
    at: datetime
    until: datetime | None
    figures: dict[str, Any] = field(default_factory=dict)


def _counted(event: Event, collector: Collector) -> tuple[int, int]:
    """Return (hits, counted) of an event for a collector."""
    pace, kind = event.seconds, collector.kind
    simple: dict[CollectorKind, tuple[int, int]] = {
        CollectorKind.GOLD: event.gold,
        CollectorKind.AGREEMENT: event.agreement,
        CollectorKind.EARNINGS: (event.earned_minor, int(event.accepted)),
        CollectorKind.SUBMISSIONS: (int(event.submitted), int(event.submitted)),
        CollectorKind.ACCEPTANCE: (int(event.accepted), int(event.decided)),
        CollectorKind.ANSWERS: (event.tasks, event.tasks) if event.submitted else (0, 0),
        CollectorKind.REVIEWS: event.review,
        CollectorKind.INTEGRITY: event.integrity,
    }
    if kind is CollectorKind.FAST:
        measured = event.tasks if pace is not None else 0
        return (measured if pace is not None and pace < (collector.seconds or 0.0) else 0), measured
    return simple[kind]


_BOUNDS: Final = frozenset({Figure.LOWER, Figure.UPPER})


def figures_of(
    hits: int, counted: int, collector: Collector, bounds: Collection[Figure] = _BOUNDS
) -> dict[Figure, float]:
    """Return a collector's figures, of the bounds (which cost most) those asked for.

    A share of nothing, and shares of what is no share, are left out.
    """
    figures: dict[Figure, float] = {Figure.COUNT: float(counted), Figure.SUM: float(hits)}
    if counted and collector.kind not in {CollectorKind.EARNINGS, CollectorKind.SKIPPED}:
        figures[Figure.SHARE] = hits / counted
        wrong = counted - hits
        if Figure.UPPER in bounds:
            figures[Figure.UPPER] = float(betaincinv(hits + 0.5, wrong + 0.5, INTERVAL_LEVEL)) if wrong else 1.0
        if Figure.LOWER in bounds:
            figures[Figure.LOWER] = float(betaincinv(hits + 0.5, wrong + 0.5, 1 - INTERVAL_LEVEL)) if hits else 0.0
    return figures


def _holds(figures: dict[Figure, float], figure: Figure, op: Operator, value: float) -> bool:
    if figure not in figures:
        return False
    found = figures[figure]
    return {
        Operator.LESS: found < value,
        Operator.AT_MOST: found <= value,
        Operator.AT_LEAST: found >= value,
        Operator.MORE: found > value,
    }[op]


def _all_hold(rule: ControlRule, hits: int, counted: int) -> bool:
    """Return whether all of a rule's conditions hold; bounds that none of them names are not computed."""
    figures = figures_of(hits, counted, rule.collector, {each.figure for each in rule.conditions} & _BOUNDS)
    return all(_holds(figures, each.figure, each.op, each.value) for each in rule.conditions)


class _Counts:
    """A worker's prefix sums for one collector: any window is a difference."""

    def __init__(self, events: Sequence[Event], collector: Collector) -> None:
        pairs = [(0, 0)]
        if collector.kind is not CollectorKind.SKIPPED:
            pairs += [_counted(event, collector) for event in events]
        self._hits = list(accumulate(hits for hits, _ in pairs))
        self._counted = list(accumulate(counted for _, counted in pairs))
        self._events, self._collector = events, collector
        self._times = [event.at for event in events]

    def after(self, moment: datetime) -> int:
        """Return the place of the first event after a moment."""
        return bisect_right(self._times, moment)

    def until(self, place: int, fresh_from: int) -> tuple[int, int]:
        """Return (hits, counted) of the window that ends at `place`; events before `fresh_from` are used."""
        if self._collector.kind is CollectorKind.SKIPPED:
            run = 0
            while place - run >= fresh_from and self._events[place - run].given_up:
                run += 1
            return run, run
        window, start = self._collector.window, fresh_from
        if window.last is not None:
            start = max(start, place + 1 - window.last)
        if window.hours is not None:
            start = max(start, bisect_left(self._times, self._times[place] - timedelta(hours=window.hours)))
        return self._hits[place + 1] - self._hits[start], self._counted[place + 1] - self._counted[start]


def replay(
    rules: Sequence[ControlRule],
    worker: UUID,
    events: Sequence[Event],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    used: Mapping[str, Used] | None = None,
) -> list[Fired]:
    """Return what these rules do to a worker over their events (in order of time), in order.

    All events count but those that an action of a rule's name has `used`; only those from `since` on and before
    `until` (when a version was in force) set a rule off.
    """
    fired: list[Fired] = []
    for rule in rules:
        counts = _Counts(events, rule.collector)
        fresh_from, rests_until = 0, None
        earlier = (used or {}).get(rule.name)
        if earlier is not None:
            fresh_from, rests_until = counts.after(earlier.until), earlier.rests_until
        for place in range(fresh_from, len(events)):
            event = events[place]
            outside = (since is not None and event.at < since) or (until is not None and event.at >= until)
            if outside or (rests_until is not None and event.at < rests_until):
                continue
            hits, counted = counts.until(place, fresh_from)
            if counted < rule.min_count or not _all_hold(rule, hits, counted):
                continue
            figures = figures_of(hits, counted, rule.collector)
            rests_until, fresh_from = _end_of(rule, event.at), place + 1
            rounded = {figure.value: round(value, 4) for figure, value in figures.items()}
            fired.append(Fired(rule, worker, event.id, event.at, rests_until, rounded))
    return sorted(fired, key=lambda each: (each.at, each.event, each.rule.name))


def _end_of(rule: ControlRule, at: datetime) -> datetime | None:
    if isinstance(rule.action, SetSkill | AddSkill | Notify):
        return None
    return at + timedelta(hours=rule.action.hours)
