"""State machines as tables: each subdomain's states.py holds an enum and one table of allowed steps."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from marketplace.core.errors import TransitionRefused

State = TypeVar("State", bound=StrEnum)
Transitions = Mapping[State, frozenset[State]]


def check_step(table: Transitions[State], current: State, target: State) -> None:
    """Refuse a step that the table does not hold.

    Raises:
        TransitionRefused: with the current state, the wanted one and those that are possible.
    """
    allowed = table.get(current, frozenset())
    if target not in allowed:
        possible = ", ".join(sorted(allowed)) or "none (this is a final state)"
        raise TransitionRefused(
            f"It is {current!s}; from there {target!s} is not possible. Possible next states: {possible}.",
            state=str(current),
            wanted=str(target),
            possible=sorted(allowed),
        )
