"""Who cheats in the demo, and how: spammers who never look, copiers who share one key, bots that repeat a pattern.

What the product found is read from its own tables; only the comparison here knows who cheats.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from cli.scenario.labelers import BOT, CARELESS, Answerer, Labeler, Skill
from cli.scenario.term_check import CORRECT, WRONG, Knowledge
from marketplace.core.db import Database

SPAMMER: Final = Skill("spammer", 0.5, 0.06, 0.5)
COPIER: Final = Skill("copier", 0.72, 0.06, 0.72)
# (vendor, place), in the order in which they are filled; copiers of one vendor share one key
SPAMMERS: Final = ((1, 5), (1, 6), (0, 5), (0, 1))
COPIERS: Final = ((2, 4), (2, 6), (1, 2), (1, 4))
BOTS: Final = ((0, 7), (0, 3), (1, 7))
CARELESS_ONES: Final = ((1, 3), (2, 5))
FINDING_SECONDS: Final = 20.0
_CARELESS_KIND: Final = "careless"
_FINAL: Final = text("SELECT is_final FROM conduct_mark WHERE request_id = :request")
_FOUND: Final = text(
    """
    SELECT p.display_name AS name, i.labels, i.common_tasks, i.is_spammer, i.is_copier, i.is_bot, i.false_alarm_rate
    FROM worker_integrity i JOIN person p ON p.id = i.worker_id WHERE i.request_id = :request
    """
)


@dataclass(frozen=True)
class Cheats:
    """How many of each kind are put among the demo's workers."""

    spammers: int = 2
    copiers: int = 2
    bots: int = 2

    def skills(self) -> dict[tuple[int, int], Skill]:
        """Return who is not careful, by vendor and place."""
        return {
            **dict.fromkeys(CARELESS_ONES, CARELESS),
            **dict.fromkeys(SPAMMERS[: self.spammers], SPAMMER),
            **dict.fromkeys(COPIERS[: self.copiers], COPIER),
            **dict.fromkeys(BOTS[: self.bots], BOT),
        }


class SharedKey:
    """One answer key that copiers hand around: the first of them answers a task, the others say the same."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._key: dict[tuple[Any, ...], dict[str, Any]] = {}

    def answer(self, data: dict[str, Any], right: bool, dice: random.Random) -> dict[str, Any]:
        """Answer as the key says; a task that is not in it yet is answered and written down."""
        task = tuple(sorted(data.items()))
        return self._key.setdefault(task, self._knowledge.answer(data, right, dice))


class Pattern:
    """A bot that clicks the choices in turn, whatever is asked."""

    def __init__(self) -> None:
        self._clicks = 0

    def answer(self, _data: dict[str, Any], _right: bool, _dice: random.Random) -> dict[str, Any]:
        """Click the next choice."""
        self._clicks += 1
        return {"choice": CORRECT if self._clicks % 2 else WRONG}


class Answering:
    """Gives each of the demo's workers the way in which they answer."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._keys: dict[int, SharedKey] = {}

    def of(self, vendor: int, skill: Skill) -> Answerer:
        """Return how somebody of a vendor answers."""
        if skill is COPIER:
            return self._keys.setdefault(vendor, SharedKey(self._knowledge)).answer
        return Pattern().answer if skill is BOT else self._knowledge.answer


async def findings(database: Database, request_id: str, labelers: Sequence[Labeler]) -> dict[str, Any]:
    """Return what share of each kind the product caught, and how many honest workers it accused.

    Waits until the product has looked at the request for the last time. Careless workers are neither: they stand apart.
    """
    await _last_look(database, request_id)
    async with database.sessions() as session:
        rows = {row.name: row for row in await session.execute(_FOUND, {"request": UUID(request_id)})}
    kinds = {labeler.person.name: labeler.skill.kind for labeler in labelers}
    accused = {name for name, row in rows.items() if row.is_spammer or row.is_copier or row.is_bot}

    def of(kind: str) -> list[str]:
        return [name for name, own in kinds.items() if own == kind]

    figures: dict[str, Any] = {
        f"{kind}s": {
            "injected": len(of(kind)),
            "with_20_labels": sum(name in rows and rows[name].labels >= 20 for name in of(kind)),
            "caught": len(accused.intersection(of(kind))),
        }
        for kind in ("spammer", "copier", "bot")
    }
    figures["honest"] = {"workers": len(of("careful")), "false_alarms": len(accused.intersection(of("careful")))}
    figures[_CARELESS_KIND] = {
        "workers": len(of(_CARELESS_KIND)), "flagged": len(accused.intersection(of(_CARELESS_KIND))),
    }  # fmt: skip
    figures["stated_false_alarm_rate"] = next((row.false_alarm_rate for row in rows.values()), None)
    return figures


async def _last_look(database: Database, request_id: str) -> None:
    deadline = time.monotonic() + FINDING_SECONDS
    while time.monotonic() < deadline:
        async with database.sessions() as session:
            if (await session.execute(_FINAL, {"request": UUID(request_id)})).scalar():
                return
        await asyncio.sleep(0.5)
