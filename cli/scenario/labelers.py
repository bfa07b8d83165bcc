"""Simulated workers: they read the feed, confirm the guideline, claim, label, save, renew, submit, and redo."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from cli.scenario.client import RefusedError
from cli.scenario.people import Person

IDLE_SECONDS: Final = 0.4
READING_SECONDS: Final = 4.0  # whoever means to do the work well reads the guideline first
DRAFT_SHARE: Final = 0.3
HEARTBEAT_SHARE: Final = 0.2
REDO_SLOWDOWN: Final = 2.0
NO_SEAT: Final = frozenset({"nothing_open", "too_many_claims", "work_unknown", "guideline_not_confirmed"})

# data of a task, whether the worker gets it right, dice → an answer's value
Answerer = Callable[[dict[str, Any], bool, random.Random], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Skill:
    """How well and how fast somebody labels: the share they get right, and the seconds they look at a task.

    A careless worker takes a second look, at a careful pace, once the work comes back; a bot does not. Who means
    to work well `reads` the guideline first; cheats begin at once.
    """

    kind: str
    accuracy: float
    seconds: float
    accuracy_on_redo: float
    reads: bool = False


CARELESS: Final = Skill("careless", 0.62, 0.012, 0.9, reads=True)
BOT: Final = Skill("bot", 0.5, 0.002, 0.5)


def careful(accuracy: float) -> Skill:
    """Return the skill of somebody who does the work as it should be done."""
    return Skill("careful", accuracy, 0.08, min(accuracy + 0.02, 0.995), reads=True)


@dataclass
class Labeler:
    """One worker at work on one request, with dice of their own so that a run can be repeated."""

    person: Person
    skill: Skill
    answer: Answerer
    dice: random.Random
    submitted: int = 0
    redone: int = 0

    async def work(self, request_id: str, over: asyncio.Event, tell: Callable[[], None]) -> None:
        """Work on the request until `over` is set; `tell` is called for each submission."""
        if self.skill.reads:
            await _rest(over, READING_SECONDS)
        while not over.is_set():
            contract = await self._contract(request_id)
            if contract is None or not await self._once(request_id, contract, tell):
                await _rest(over)

    async def _contract(self, request_id: str) -> str | None:
        """Return the contract of the request that is open to this worker, its guideline confirmed."""
        entries = (await self.person.call("GET", "/v1/me/feed"))["entries"]
        for entry in entries:
            if entry["request_id"] != request_id or entry["missing"]:
                continue
            contract = f"/v1/requests/{request_id}/contracts/{entry['contract_id']}"
            if not entry["is_confirmed"]:
                body = {"guideline_version": entry["guideline_version"]}
                await self.person.call("PUT", f"{contract}/confirmation", body)
            return contract
        return None

    async def _once(self, request_id: str, contract: str, tell: Callable[[], None]) -> bool:
        """Do what came back, then one new bundle; return whether there was anything."""
        done = 0
        claims = (await self.person.call("GET", "/v1/me/claims"))["items"]
        for claim in claims:
            if claim["request_id"] == request_id and claim["state"] in {"claimed", "rework"}:
                done += await self._held(request_id, claim, tell)
        try:
            claim = await self.person.call("POST", f"{contract}/claims", {"key": str(uuid4())})
        except RefusedError as error:
            if error.code not in NO_SEAT:
                raise
            return done > 0
        await self._label(request_id, claim, tell, again=False)
        return True

    async def _held(self, request_id: str, claim: dict[str, Any], tell: Callable[[], None]) -> int:
        """Do a bundle that came back for rework, or that a lost answer left in our hands."""
        try:
            sheet = await self.person.call("GET", f"/v1/requests/{request_id}/claims/{claim['claim_id']}")
        except RefusedError as error:
            if error.code != "claim_ended":
                raise
            return 0
        again = claim["state"] == "rework"
        self.redone += again
        await self._label(request_id, sheet, tell, again=again)
        return 1

    async def _label(self, request_id: str, claim: dict[str, Any], tell: Callable[[], None], *, again: bool) -> None:
        path = f"/v1/requests/{request_id}/claims/{claim['claim_id']}"
        answers = []
        for number, task in enumerate(claim["tasks"]):
            answers.append(await self._look(task, again=again))
            if number == len(claim["tasks"]) // 2:
                await self._pause(path, answers)
        if self.dice.random() < DRAFT_SHARE:
            # what the draft holds need not be sent again
            await self.person.call("PUT", f"{path}/draft", {"answers": answers})
            answers = answers[len(answers) // 2 :]
        try:
            await self.person.call("PUT", f"{path}/submission", {"submission_id": str(uuid4()), "answers": answers})
        except RefusedError as error:
            if error.code != "claim_ended":
                raise
            return
        self.submitted += 1
        tell()

    async def _look(self, task: dict[str, Any], *, again: bool) -> dict[str, Any]:
        """Look at a task for a while and answer it; the seconds told are those that passed."""
        began = time.monotonic()
        slower = REDO_SLOWDOWN if again and self.skill.kind != "bot" else 1.0
        pace = self.skill.seconds if self.skill.kind != "careless" or not again else careful(0.9).seconds
        await asyncio.sleep(pace * slower * self.dice.uniform(0.8, 1.4))
        right = self.dice.random() < (self.skill.accuracy_on_redo if again else self.skill.accuracy)
        value = self.answer(task["data"], right, self.dice)
        return {"task_id": task["task_id"], "value": value, "seconds": time.monotonic() - began}

    async def _pause(self, path: str, answers: list[dict[str, Any]]) -> None:
        """In the middle of a bundle, sometimes save what is there or renew the lease, as the app of a phone does."""
        chance = self.dice.random()
        if chance < DRAFT_SHARE:
            await self.person.call("PUT", f"{path}/draft", {"answers": answers})
        elif chance < DRAFT_SHARE + HEARTBEAT_SHARE:
            await self.person.call("POST", f"{path}/heartbeat")


async def _rest(over: asyncio.Event, seconds: float = IDLE_SECONDS) -> None:
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        return
