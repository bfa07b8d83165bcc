"""The running fake: a server on a free port of this machine, in the test's event loop."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from stripe import WebhookSignature

from tests.fakestripe.actions import Actions
from tests.fakestripe.app import App
from tests.fakestripe.faults import Faults
from tests.fakestripe.world import World


class Fake:
    """A fake Stripe; its knobs are its attributes and methods."""

    api_key = "sk_test_fake"
    webhook_secret = "whsec_fake"

    def __init__(self) -> None:
        self.url = ""
        self.hang_seconds = 60.0
        self.world = World()
        self.actions = Actions(self.world)
        self.faults = Faults()
        self.contract_breaks: list[str] = []
        self.stored_app = App(self)
        self._target: tuple[str, str] | None = None
        self._knobs: dict[str, Any] = {}
        self._sent = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return all events, oldest first."""
        return self.world.events

    def advance(self, seconds: float) -> None:
        """Let time pass: money becomes available, payouts move on, keys expire."""
        self.world.offset += seconds
        self.actions.move_payouts()
        self.deliver_soon()

    def fail_payout(self, payout_id: str) -> None:
        """Let a payout fail now, also after it was paid."""
        self.actions.fail_payout(payout_id)
        self.deliver_soon()

    def return_payouts(self) -> None:
        """Let the bank return the payouts to come, a week after they were paid."""
        self.actions.fail_next_payouts = True

    def deliver_to(self, url: str, secret: str | None = None, **knobs: Any) -> None:
        """Post the events from now on, signed.

        Knobs: duplicate, reorder, drop (bool), delay (seconds of waiting), tries (for each event, a second apart; an
        event that does not get through the last time is an error).
        """
        unknown = set(knobs) - {"duplicate", "reorder", "drop", "delay", "tries"}
        if unknown:
            raise TypeError(f"no such knobs: {sorted(unknown)}")
        self._target, self._knobs, self._sent = (url, secret or self.webhook_secret), knobs, len(self.events)

    def deliver_soon(self) -> None:
        """Post what is new, in the background."""
        if self._target is None or self._sent == len(self.events):
            return
        fresh, self._sent = self.events[self._sent :], len(self.events)
        task = asyncio.get_running_loop().create_task(self._post(*self._target, list(fresh)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def delivered(self) -> None:
        """Wait until all that is under way has arrived."""
        await asyncio.gather(*self._tasks)

    def end_deliveries(self) -> None:
        """Give up what is under way: nobody listens any more."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._target = None

    async def _post(self, url: str, secret: str, events: list[dict[str, Any]]) -> None:
        if self._knobs.get("drop"):
            return
        await asyncio.sleep(self._knobs.get("delay", 0))
        if self._knobs.get("duplicate"):
            events = events * 2
        if self._knobs.get("reorder"):
            random.Random(len(events)).shuffle(events)
        async with httpx.AsyncClient() as client:
            for event in events:
                body = json.dumps(event)
                signature = WebhookSignature.generate_signature_header(body, secret)
                headers = {"stripe-signature": signature, "content-type": "application/json"}
                await self._send(client, url, body, headers)

    async def _send(self, client: httpx.AsyncClient, url: str, body: str, headers: dict[str, str]) -> None:
        left = self._knobs.get("tries", 1)
        while left:
            left -= 1
            try:
                answer = await client.post(url, content=body, headers=headers)
            except httpx.HTTPError:
                if not left:
                    raise
            else:
                if answer.is_success:
                    return
            await asyncio.sleep(1 if left else 0)

    async def keep_time(self, every_seconds: float = 0.2) -> None:
        """Move payouts on as time passes by itself, for ever."""
        while True:
            await asyncio.sleep(every_seconds)
            self.advance(0)


@asynccontextmanager
async def running_fake(port: int = 0) -> AsyncIterator[Fake]:
    """Serve a fake, on any free port by default; at the end, no call may have broken the contract."""
    fake = Fake()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            fake.stored_app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1,
            timeout_keep_alive=300,  # a connection closed as idle under load would be one more fault, and unplanned
        )  # fmt: skip
        server = uvicorn.Server(config)
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.01)
        try:
            yield fake
            await fake.delivered()
        finally:
            server.should_exit = server.force_exit = True
            await serving
    assert fake.contract_breaks == []
