"""The demo market that `kapok up` offers on its first start: people to sign in as, and two requests to bid on.

Made over the public API, as its people would; each step that was taken before is left as it is, so that a start that
was interrupted is completed by the next.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.scenario import cldr, term_check
from cli.scenario.client import Api
from cli.scenario.delivery import top_up
from cli.scenario.market import upload
from cli.scenario.people import Person, address_of, apply_as_vendor, apply_as_worker, approve, engage, found
from cli.scenario.staff import ADMIN_SIGN_IN, DEMO_DOMAIN, DEMO_PASSWORD, officer
from marketplace.catalog.models import DatasetRequest
from marketplace.core.db import Database, open_database
from marketplace.core.settings import Settings
from marketplace.identity.models import Organisation
from marketplace.identity.queries import find_person
from workers.session import run_command

T = TypeVar("T")
AT_ONCE: Final = 6
TERMS: Final = 60
GOLD: Final = 12
SEED: Final = 7


@dataclass(frozen=True)
class DemoAccount:
    """Somebody to sign in as: what the person is, the sign-in name, and the password."""

    who: str
    sign_in: str
    password: str


# organisation, its country, title of its request, language of the terms, channel
ENTERPRISES: Final = (
    ("南宁词典社 Nanning Lexicon", "CN", "中泰术语核对 · Chinese terms in Thai", "th", "both"),
    ("Hạ Long Data", "VN", "Thuật ngữ Trung – Việt · Chinese terms in Vietnamese", "vi", "vendors"),
)
VENDORS: Final = ("桂语科技 Guiyu", "Mekong Lexicon", "Nanyang Terms")
# name, language, country
WORKERS: Final = (
    ("韦小兰", "zh", "CN"), ("黄志强", "zh", "CN"), ("梁晓燕", "zh", "CN"), ("农立平", "za", "CN"),
    ("Nguyễn Thu Linh", "vi", "VN"), ("Trần Quang Minh", "vi", "VN"), ("Lê Thị Hoa", "vi", "VN"),
    ("อรุณ ใจดี", "th", "TH"), ("สมชาย ทองคำ", "th", "TH"), ("มาลี ศรีสุข", "th", "TH"),
    ("ບຸນມີ ວົງສາ", "lo", "LA"), ("ຄຳແພງ ສີສຸກ", "lo", "LA"), ("សុខា ចាន់", "km", "KH"), ("ដារ៉ា លី", "km", "KH"),
    ("အောင် မျိုး", "my", "MM"), ("မြ သန္တာ", "my", "MM"), ("Siti Aminah", "ms", "MY"), ("Putri Lestari", "id", "ID"),
    ("Budi Santoso", "id", "ID"), ("Maria Santos", "fil", "PH"),
)  # fmt: skip


async def load(settings: Settings) -> list[DemoAccount]:
    """Make what is missing of the demo market, and return its accounts; called on every start.

    In production there is none: its passwords are known to everybody.
    """
    if settings.env == "production":
        return []
    async with open_database(settings, hot_size=1) as database:
        if not await _is_complete(database):
            async with Api(settings.base_url) as api, officer(api, database) as checked_by:
                await _make(api, checked_by)
        has_admin = await _has_admin(database)
    return _accounts(has_admin=has_admin)


def _accounts(*, has_admin: bool) -> list[DemoAccount]:
    rows = [("operator, admin", ADMIN_SIGN_IN)] if has_admin else []
    rows += [(f"enterprise {name}", sign_in_of("enterprise", number)) for number, (name, *_) in _numbered(ENTERPRISES)]
    rows += [(f"vendor {name}", sign_in_of("vendor", number)) for number, name in _numbered(VENDORS)]
    rows.append((f"workers ({len(WORKERS)})", f"{sign_in_of('worker', 1)} … {sign_in_of('worker', len(WORKERS))}"))
    return [DemoAccount(who, sign_in, DEMO_PASSWORD) for who, sign_in in rows]


def _numbered(names: tuple[T, ...]) -> list[tuple[int, T]]:
    return list(enumerate(names, start=1))


def sign_in_of(kind: str, number: int) -> str:
    """Return the sign-in name of one of the demo market's people."""
    return f"{kind}{number}@{DEMO_DOMAIN}"


async def _is_complete(database: Database) -> bool:
    """Whether the last step, publishing, has been taken by every enterprise."""

    async def command(session: AsyncSession) -> bool:
        names = [name for name, *_ in ENTERPRISES]
        statement = (
            select(Organisation.name)
            .join(DatasetRequest, col(DatasetRequest.organisation_id) == col(Organisation.id))
            .where(col(Organisation.name).in_(names), col(DatasetRequest.published_at).is_not(None))
        )
        return set((await session.exec(statement)).all()) == set(names)

    return await run_command(database, command)


async def _has_admin(database: Database) -> bool:
    """Whether this Kapok's operator was made by the demo market, and not by whoever runs it for earnest."""

    async def command(session: AsyncSession) -> bool:
        return await find_person(session, ADMIN_SIGN_IN) is not None

    return await run_command(database, command)


async def _make(api: Api, checked_by: Person) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(step: Awaitable[T]) -> T:
        async with turns:
            return await step

    vendors = await asyncio.gather(*(in_turn(_vendor(api, checked_by, n, name)) for n, name in _numbered(VENDORS)))
    steps: list[Awaitable[None]] = [
        in_turn(_worker(api, checked_by, vendors[n % len(vendors)], n)) for n in range(len(WORKERS))
    ]
    steps += [in_turn(_enterprise(api, number)) for number, _ in _numbered(ENTERPRISES)]
    await asyncio.gather(*steps)


def _person(api: Api, kind: str, number: int, name: str, place: int) -> Person:
    return Person(api, name, sign_in_of(kind, number), DEMO_PASSWORD, address_of(0xFF0000 + place))


async def _vendor(api: Api, checked_by: Person, number: int, name: str) -> Person:
    vendor = _person(api, "vendor", number, f"{name} owner", 100 + number)
    await vendor.sign_up()
    await found(vendor, "vendor", name, "CN")
    languages = [cldr.SOURCE, "za", *cldr.TARGETS]
    profile = {"languages": languages, "modalities": ["text", "image", "audio"], "capacity_per_day": 50_000}
    await approve(checked_by, await apply_as_vendor(vendor, profile, "Labels texts in the languages of ASEAN."))
    return vendor


async def _worker(api: Api, checked_by: Person, vendor: Person, place: int) -> None:
    name, language, country = WORKERS[place]
    worker = _person(api, "worker", place + 1, name, place)
    await worker.sign_up()
    languages = sorted({cldr.SOURCE, language})
    profile = {"languages": languages, "country": country, "skills": {"translation": 70 + place % 25}}
    await approve(checked_by, await apply_as_worker(worker, profile))
    await engage(vendor, worker)


async def _enterprise(api: Api, number: int) -> None:
    name, country, title, language, channel = ENTERPRISES[number - 1]
    owner = _person(api, "enterprise", number, f"{name} owner", 200 + number)
    await owner.sign_up()
    await found(owner, "enterprise", name, country)
    posted = (await owner.call("GET", "/v1/requests"))["items"]
    if any(request["published_at"] for request in posted):
        return
    pairs = cldr.term_pairs(TERMS + GOLD, SEED, [language])
    draft = term_check.draft(
        TERMS, title=title, channel=channel, award_mode="auto", languages=[cldr.SOURCE, language]
    )  # fmt: skip
    request = await owner.call("POST", "/v1/requests", draft)
    await upload(owner, request["id"], "terms.jsonl", term_check.as_jsonl(pairs[:TERMS], pairs[TERMS:]))
    await top_up(owner, 2 * term_check.budget_minor(TERMS), term_check.CURRENCY)
    path = f"/v1/requests/{request['id']}"
    await owner.call("POST", f"{path}/fund", {"amount_minor": term_check.budget_minor(TERMS)})
    await owner.call("POST", f"{path}/publish")
