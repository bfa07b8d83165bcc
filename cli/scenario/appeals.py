"""The operator's people who look at rejections: those that the brake holds during the work, and appeals after it.

A held rejection waits for one of them, so that without them the work of a request with many bots would stand still.
Whoever confirmed a rejection may not decide its appeal, so they are two.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from cli.scenario.client import RefusedError
from cli.scenario.labelers import Labeler
from cli.scenario.people import Person

PAGE: Final = 200
TAKEN_BEFORE: Final = frozenset({"appeal_not_possible", "appeal_decided", "held_verdict_decided"})
LOOK_SECONDS: Final = 0.5
PLEA: Final = "我认真核对了每个术语，请再看一次。 I checked every term; please look again."
UPHELD: Final = "The hidden checks of this bundle were answered wrong, as before in your record."
OVERTURNED: Final = "Your other work shows that you know these terms; this bundle counts."


async def appeal_rejections(labelers: Sequence[Labeler], arbitrator: Person, request_id: str) -> None:
    """Let everybody appeal what was rejected of theirs; the arbitrator believes those who are careful."""
    await asyncio.gather(*(_appeal(labeler.person, request_id) for labeler in labelers))
    careful = _careful(labelers)
    page = await arbitrator.call("GET", "/v1/appeals", params={"limit": PAGE})
    for appeal in page["items"]:
        if appeal["request_id"] == request_id:
            await _decide(arbitrator, appeal, believed=appeal["worker_id"] in careful)


async def decide_held(labelers: Sequence[Labeler], reviewer: Person, request_id: str, over: asyncio.Event) -> None:
    """Decide on what the brake holds until the work is over; the reviewer believes those who are careful."""
    careful = _careful(labelers)
    while not over.is_set():
        page = await reviewer.call("GET", "/v1/held-verdicts", params={"limit": PAGE})
        for held in page["items"]:
            if held["request_id"] == request_id:
                believed = held["worker_id"] in careful
                body = {
                    "decision": "accepted" if believed else "confirmed",
                    "reason": OVERTURNED if believed else UPHELD,
                }
                await _tolerantly(reviewer, f"/v1/held-verdicts/{request_id}/{held['id']}/decide", body)
        await asyncio.sleep(LOOK_SECONDS)


def _careful(labelers: Sequence[Labeler]) -> set[str]:
    return {labeler.person.id for labeler in labelers if labeler.skill.kind == "careful"}


async def _appeal(worker: Person, request_id: str) -> None:
    page = await worker.call("GET", "/v1/me/verdicts", params={"limit": PAGE})
    for verdict in page["items"]:
        if verdict["request_id"] == request_id and verdict["can_appeal"]:
            path = f"/v1/requests/{request_id}/verdicts/{verdict['id']}/appeal"
            await _tolerantly(worker, path, {"text": PLEA})


async def _decide(arbitrator: Person, appeal: dict[str, Any], *, believed: bool) -> None:
    path = f"/v1/appeals/{appeal['request_id']}/{appeal['id']}/decide"
    decision = "overturned" if believed else "upheld"
    await _tolerantly(arbitrator, path, {"decision": decision, "answer": OVERTURNED if believed else UPHELD})


async def _tolerantly(person: Person, path: str, body: dict[str, Any]) -> None:
    """Take a step; that it was taken before, by a call whose answer was lost, is fine."""
    try:
        await person.call("POST", path, body)
    except RefusedError as error:
        if error.code not in TAKEN_BEFORE:
            raise
