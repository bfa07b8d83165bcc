"""A stored report against one that was computed anew, figure by figure. Pure."""

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

TOLERANCE: Final = 1e-9
"""Largest difference of two equal figures: sums of floats may be taken in another order elsewhere."""
_NO_FIGURE: Final = frozenset({"made_at"})
"""What a report says of itself."""
OF_A_FIT: Final = frozenset({"accuracy", "method", "refit", "reliability"})
"""The figures that are computed by fitting the answers anew."""


class Compared(NamedTuple):
    """A figure under its path in the report ("gold.accuracy", "overlap[0].tasks"), as stored and as computed anew."""

    path: str
    stored: Any
    computed: Any

    @property
    def is_equal(self) -> bool:
        """Whether both say the same; numbers may differ by `TOLERANCE`."""
        one, other = self.stored, self.computed
        if _is_number(one) and _is_number(other):
            return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


class _Missing:
    def __repr__(self) -> str:
        return "(not there)"


MISSING: Final = _Missing()


def compare_reports(stored: dict[str, Any], computed: dict[str, Any]) -> list[Compared]:
    """Return every figure of the two, in the order of the computed one; both are JSON.

    Under another engine than the stored report's, those that rest on a fit are left out.
    """
    left_out = _NO_FIGURE if is_same_engine(stored, computed) else _NO_FIGURE | OF_A_FIT
    one, other = ({k: v for k, v in report.items() if k not in left_out} for report in (stored, computed))
    return list(_walk("", one, other))


def is_same_engine(stored: dict[str, Any], computed: dict[str, Any]) -> bool:
    """Return whether both reports rest on fits of the same code; a report that names none is taken for it."""
    one, other = ((report.get("method") or {}).get("engine") for report in (stored, computed))
    return not one or not other or bool(one == other)


def _walk(path: str, stored: Any, computed: Any) -> Iterator[Compared]:
    if isinstance(computed, dict) and isinstance(stored, dict):
        for name in [*computed, *(name for name in stored if name not in computed)]:
            inner = f"{path}.{name}" if path else name
            yield from _walk(inner, stored.get(name, MISSING), computed.get(name, MISSING))
    elif isinstance(computed, list) and isinstance(stored, list):
        for at in range(max(len(computed), len(stored))):
            yield from _walk(f"{path}[{at}]", _at(stored, at), _at(computed, at))
    else:
        yield Compared(path, stored, computed)


def _at(values: list[Any], at: int) -> Any:
    return values[at] if at < len(values) else MISSING


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
