"""The way of a dataset request over HTTP, step by step, as its enterprise and its vendors take it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cli.errors import CannotRunError
from cli.scenario.client import RefusedError
from cli.scenario.people import Person

PIECE_BYTES: Final = 4 * 1024 * 1024
POLL_SECONDS: Final = 0.2
STEP_SECONDS: Final = 180.0
RECEIVING: Final = "receiving"


def in_seconds(seconds: float) -> str:
    """Return the moment so many seconds from now, as the API reads it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def wait_until(what: str, seconds: float, ask: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the answer is yes.

    Raises:
        CannotRunError: it has not come to that within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not await ask():
        if time.monotonic() > deadline:
            raise CannotRunError(
                f"After {seconds:.0f} s still waiting: {what}.", "`kapok doctor` and `kapok jobs list` say more."
            )
        await asyncio.sleep(POLL_SECONDS)


async def state_of(person: Person, request_id: str) -> str:
    """Return the state of one's request."""
    return str((await person.call("GET", f"/v1/requests/{request_id}"))["state"])


async def wait_for_state(
    person: Person, request_id: str, states: Collection[str], seconds: float = STEP_SECONDS
) -> None:
    """Wait until one's request is in one of these states; raises CannotRunError as `wait_until`."""

    async def ask() -> bool:
        return await state_of(person, request_id) in states

    await wait_until(f"the request to be {' or '.join(states)}", seconds, ask)


async def upload(enterprise: Person, request_id: str, filename: str, content: bytes) -> dict[str, Any]:
    """Upload the data of a request in pieces, going on where an interruption left off, and wait for the import.

    Raises:
        CannotRunError: the data were refused.
    """
    path = f"/v1/requests/{request_id}/uploads"
    kind = filename.rsplit(".", 1)[-1]
    made = await enterprise.call("POST", path, {"filename": filename, "size_bytes": len(content), "format": kind})
    where = f"{path}/{made['id']}"
    offset, state = 0, RECEIVING
    while state == RECEIVING:
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        try:
            await enterprise.call("PATCH", where, content=content[offset : offset + PIECE_BYTES], headers=headers)
        except RefusedError as error:
            if error.code not in {"upload_offset_wrong", "transition_refused"}:
                raise
        view = await enterprise.call("GET", where)
        offset, state = view["offset_bytes"], view["state"]
    return await _imported(enterprise, where)


async def _imported(enterprise: Person, where: str) -> dict[str, Any]:
    view: dict[str, Any] = {}

    async def ask() -> bool:
        view.update(await enterprise.call("GET", where))
        return view["state"] in {"imported", "refused"}

    await wait_until("the data to be imported", STEP_SECONDS, ask)
    if view["state"] == "refused":
        raise CannotRunError(f"The data were refused: {view['report'][:3]}", "This is a fault of Kapok's own.")
    return view


async def bid(vendor: Person, request_id: str, terms: dict[str, Any]) -> str:
    """Submit a sealed bid and return its id."""
    return str((await vendor.call("PUT", f"/v1/requests/{request_id}/bids/mine", terms))["id"])


async def opened_bids(enterprise: Person, request_id: str) -> list[dict[str, Any]]:
    """Wait until the bids on one's request are opened and scored, and return them."""
    found: list[dict[str, Any]] = []

    async def ask() -> bool:
        view = await enterprise.call("GET", f"/v1/requests/{request_id}/bids")
        found[:] = view["bids"]
        return bool(found) and all(one["score"] for one in found)

    await wait_until("the bids to be opened", STEP_SECONDS, ask)
    return found


async def contract_of(vendor: Person, request_id: str) -> dict[str, Any]:
    """Return the vendor's contract of a request."""
    contracts = await vendor.call("GET", f"/v1/requests/{request_id}/contracts")
    found: dict[str, Any] = contracts[0]
    return found
