"""A vetted market of one scenario's own: an enterprise, vendors, and workers engaged by them."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli.scenario.client import Api
from cli.scenario.people import (
    Person,
    address_of,
    apply_as_vendor,
    apply_as_worker,
    approve,
    engage,
    found,
    new_password,
)
from cli.scenario.staff import DEMO_DOMAIN

AT_ONCE: Final = 8  # sign-ups: each hashes a password for a tenth of a second on one of the API's processors
CAPACITY_PER_DAY: Final = 1_000_000
Tell = Callable[[], None]


@dataclass(frozen=True)
class Cast:
    """Whom a scenario needs: names of the enterprise and the vendors, and for each vendor the names of its workers."""

    enterprise: str
    vendors: Sequence[str]
    workers: Sequence[Sequence[str]]
    languages: Sequence[str]
    skills: dict[str, int]


@dataclass
class Crowd:
    """The people of a scenario, signed in; `workers[i]` are engaged by `vendors[i]`."""

    enterprise: Person
    vendors: list[Person]
    workers: list[list[Person]]

    @property
    def everybody_paid(self) -> list[Person]:
        """Whoever is paid for work."""
        return [*self.vendors, *(worker for some in self.workers for worker in some)]


async def gather_crowd(api: Api, officer: Person, cast: Cast, tell: Tell) -> Crowd:
    """Have everybody sign up, be vetted and engaged; `tell` is called for each one who is ready."""
    run = secrets.token_hex(4)
    numbers = iter(range(1, 1 << 20))
    turns = asyncio.Semaphore(AT_ONCE)

    def person(kind: str, name: str) -> Person:
        number = next(numbers)
        return Person(api, name, f"{kind}-{number}-{run}@{DEMO_DOMAIN}", new_password(), address_of(number))

    async def in_turn(step: Awaitable[None]) -> None:
        async with turns:
            await step
        tell()

    enterprise = person("buyer", cast.enterprise)
    vendors = [person("vendor", name) for name in cast.vendors]
    workers = [[person("worker", name) for name in names] for names in cast.workers]
    await in_turn(_begin(enterprise, "enterprise", cast.enterprise))
    await asyncio.gather(*(in_turn(_vendor(officer, vendor, cast)) for vendor in vendors))
    steps = [
        in_turn(_worker(officer, vendor, worker, cast))
        for vendor, some in zip(vendors, workers, strict=True)
        for worker in some
    ]
    await asyncio.gather(*steps)
    return Crowd(enterprise, vendors, workers)


async def _begin(owner: Person, kind: str, name: str) -> None:
    await owner.sign_up()
    await found(owner, kind, name, "CN")


async def _vendor(officer: Person, vendor: Person, cast: Cast) -> None:
    await _begin(vendor, "vendor", vendor.name)
    profile: dict[str, Any] = {
        "languages": list(cast.languages),
        "modalities": ["text"],
        "capacity_per_day": CAPACITY_PER_DAY,
    }
    await approve(officer, await apply_as_vendor(vendor, profile, "Labels term lists and texts."))


async def _worker(officer: Person, vendor: Person, worker: Person, cast: Cast) -> None:
    await worker.sign_up()
    profile = {"languages": list(cast.languages), "country": "CN", "skills": cast.skills}
    await approve(officer, await apply_as_worker(worker, profile))
    await engage(vendor, worker)
