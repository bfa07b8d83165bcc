"""`kapok operator`: make the organisation that runs this Kapok, and its first admin."""

import asyncio
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.console import problems_explained
from cli.errors import CannotRunError
from cli.running import with_database
from marketplace.core.db import open_database
from marketplace.core.errors import DomainError
from marketplace.core.settings import Settings, get_settings
from marketplace.identity.schemas import SignUp
from marketplace.identity.service import bootstrap_operator
from workers.session import run_command


def operator(
    name: Annotated[str, typer.Option(help="Name of the operator, as people will see it.")],
    admin: Annotated[str, typer.Option(help="E-mail or phone (+86 …) of the first admin.")],
    admin_name: Annotated[str, typer.Option(help="How the admin is called.")] = "Admin",
    country: Annotated[str, typer.Option(help="Country, as ISO 3166-1 alpha-2.")] = "CN",
    region: Annotated[str | None, typer.Option(help="Region, as ISO 3166-2, such as CN-GX.")] = None,
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="KAPOK_ADMIN_PASSWORD")
    ] = "",
) -> None:
    """Make the operator of this Kapok and its first admin, once; an account the admin has already is taken as it is."""
    with problems_explained():
        settings = with_database(get_settings())
        try:
            account = SignUp(identifier=admin, password=SecretStr(password), display_name=admin_name, locale="zh-CN")
            asyncio.run(_make(settings, account, name, country, region))
        except ValidationError as error:
            raise CannotRunError(str(error.errors()[0]["msg"]), "Correct the option and try again.") from error
        except DomainError as error:
            raise CannotRunError(error.detail, "Correct the option and try again.") from error
    typer.echo(f"{name} operates this Kapok; {admin} is its admin and may appoint others.")


async def _make(settings: Settings, account: SignUp, name: str, country: str, region: str | None) -> None:
    async def command(session: AsyncSession) -> None:
        await bootstrap_operator(session, name=name, country=country, region=region, admin=account)

    async with open_database(settings, hot_size=1) as database:
        await run_command(database, command)
