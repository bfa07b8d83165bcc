"""The operator's people of a scenario. Only here is the database touched: who runs a Kapok appoints its operator."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from pydantic import SecretStr
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.errors import CannotRunError
from cli.scenario.client import Api
from cli.scenario.people import Person, address_of, new_password
from marketplace.core.actor import Role
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.identity.errors import OperatorExists
from marketplace.identity.models import Membership
from marketplace.identity.queries import operator_organisation
from marketplace.identity.schemas import SignUp
from marketplace.identity.service import appoint, bootstrap_operator
from workers.session import run_command

DEMO_DOMAIN: Final = "demo.kapok.example"
DEMO_PASSWORD: Final = "silk-cotton-tree"  # noqa: S105  # printed at every start of a development Kapok
ADMIN_SIGN_IN: Final = f"admin@{DEMO_DOMAIN}"
OPERATOR_NAME: Final = "Kapok"
OFFICES: Final = (Role.VETTING_OFFICER, Role.ARBITRATOR)
OFFICER_ADDRESS: Final = address_of(0xFFFFFE)


def refuse_production(settings: Settings) -> None:
    """Keep people who do not exist out of a market with real ones; raises CannotRunError."""
    if settings.env == "production":
        raise CannotRunError("This makes accounts and work that are not real.", "Run it where ENV is not production.")


async def ensure_operator(database: Database) -> UUID:
    """Return the operator's id; where there is none yet, make it with the demo market's admin."""

    async def command(session: AsyncSession) -> UUID:
        admin = SignUp(
            identifier=ADMIN_SIGN_IN, password=SecretStr(DEMO_PASSWORD), display_name="Market admin", locale="en"
        )
        with contextlib.suppress(OperatorExists):
            await bootstrap_operator(session, name=OPERATOR_NAME, country="CN", admin=admin)
        found = await operator_organisation(session)
        assert found is not None  # noqa: S101  # made above
        return found.id

    return await run_command(database, command)


@asynccontextmanager
async def officer(api: Api, database: Database) -> AsyncIterator[Person]:
    """Lend an officer who vets and arbitrates, with an account of their own; their roles end afterwards."""
    operator_id = await ensure_operator(database)
    sign_in = f"officer-{secrets.token_hex(4)}@{DEMO_DOMAIN}"
    person = Person(api, "Officer", sign_in, new_password(), OFFICER_ADDRESS)
    await person.sign_up()
    person_id = UUID(await person.learn_id())

    async def command(session: AsyncSession) -> list[UUID]:
        for role in OFFICES:
            await appoint(session, operator_id, person_id, role)
        found = await session.exec(select(Membership.id).where(Membership.person_id == person_id))
        return list(found.all())

    membership_ids = await run_command(database, command)
    await person.act_for(str(operator_id))
    try:
        yield person
    finally:
        for membership_id in membership_ids:
            await person.call("POST", f"/v1/organisations/{operator_id}/members/{membership_id}/end")
