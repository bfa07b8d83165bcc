"""The manual rail for tests: two people of the operator, and a bank that answers by files."""

import csv
import io
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from uuid import UUID

from sqlmodel import select

from marketplace.core.actor import Actor, ActorKind
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.settings import Settings
from marketplace.ledger import queries
from marketplace.payments import methods
from marketplace.payments.bank_file import batches, rail, results, results_format
from marketplace.payments.bank_file.file_format import major
from marketplace.payments.bank_file.gateway import BankFileGateway
from marketplace.payments.bank_file.models import BankFileImport, BankFileLine
from marketplace.payments.bank_file.schemas import MoveRailMoney
from marketplace.payments.bank_file.states import MovementKind
from marketplace.payments.control_schemas import SetPayoutMethod
from marketplace.payments.gateway import Gateway, RemoteObject
from marketplace.payments.models import Payee, Payout
from marketplace.payments.payouts import Owner
from marketplace.payments.providers import open_gateways
from marketplace.payments.states import Leg, PayeeKind
from marketplace.settlement.verify import verify_everything
from tests.factories.money import ask_payout, committed, earn

Drive = Callable[[], Awaitable[None]]
MAKER = Actor(kind=ActorKind.PERSON, id=UUID(int=1))
RELEASER = Actor(kind=ActorKind.PERSON, id=UUID(int=2))
AMOUNT_MINOR = 12_345
ACCOUNT = {"holder_name": "韦小木", "bank_code": "102611000017", "account_number": "6222021234567890123"}


def result_file(
    currency: str, rows: list[tuple[str, str, int]], *, closing: int | None = None, count: int | None = None,
    total: int | None = None,
) -> bytes:  # fmt: skip
    """Return a bank's result file of (reference, result, minor units), as the bank would write it today."""
    today = now().date().isoformat()
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(results_format.COLUMNS)
    for ref, result, amount in rows:
        reason = "" if result == "paid" else "account closed"
        writer.writerow(["R", ref, result, major(amount, currency), currency, f"BK{ref[:6]}", today, reason])
    if closing is not None:
        writer.writerow(["B", "", "", major(closing, currency), currency, "", today, ""])
    told = sum(amount for _ref, _result, amount in rows) if total is None else total
    writer.writerow(["T", "", len(rows) if count is None else count, major(told, currency), currency, "", "", ""])
    return written.getvalue().encode()


class BankFileBooks:
    """What the operator's people and their bank do."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    async def fund(
        self, amount: Money, kind: MovementKind = MovementKind.MOVED_IN, *, in_days: int = 0
    ) -> RemoteObject:
        """Move money to the rail; return the movement as its gateway tells it."""
        command = MoveRailMoney(
            kind=kind,
            bank="platform",
            amount_minor=amount.minor,
            currency=amount.currency,
            value_on=now().date() + timedelta(days=in_days),
            reason="a transfer",
        )
        async with committed(self._database) as session:
            ref = (await rail.move(session, MAKER, command)).ref
        found = await BankFileGateway(self._settings, self._database.sessions).find(Leg.CHARGE, ref)
        assert found is not None
        return found

    async def account(self, owner_id: UUID, currency: str = "CNY", **changed: str) -> None:
        """Let a worker say where to pay, without the cooling time."""
        settings = self._settings.model_copy(update={"payout_method_cooling_seconds": 0})
        gateway = BankFileGateway(self._settings, self._database.sessions)
        owner, command = Owner(PayeeKind.WORKER, owner_id, "韦小木"), ACCOUNT | changed | {"currency": currency}
        async with committed(self._database) as session:
            given = SetPayoutMethod.model_validate(command)
            await methods.set_method(session, MAKER, gateway, settings, owner, given)

    async def payee(self, currency: str) -> str:
        """Make a worker's payee with a bank account; return its reference."""
        owner_id = new_id()
        await self.account(owner_id, currency)
        async with committed(self._database) as session:
            found = await session.exec(select(Payee).where(Payee.owner_id == owner_id))
            return found.one().id.hex

    async def queue(self, ref: str, amount: Money) -> None:
        """Let a payment of this reference wait for a file, without a payout behind it."""
        payee, gateway = await self.payee(amount.currency), BankFileGateway(self._settings, self._database.sessions)
        await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
        await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)

    async def send(self, currency: str) -> list[str]:
        """Make, release and export a file of what waits; return the references in it."""
        async with committed(self._database) as session:
            if currency not in {row.currency for row in await batches.queue(session)}:
                return []
            batch_id = (await batches.make(session, MAKER, currency)).id
        async with committed(self._database) as session:
            await batches.release(session, self._settings, RELEASER, batch_id)
        async with committed(self._database) as session:
            await batches.export(session, MAKER, batch_id)
            found = await session.exec(select(BankFileLine.ref).where(BankFileLine.batch_id == batch_id))
            return list(found.all())

    async def answer(
        self, currency: str, said: Mapping[str, str], *, closing: int | None = None
    ) -> BankFileImport | None:
        """Let the bank answer payments by reference, and read its file."""
        if not said:
            return None
        async with committed(self._database) as session:
            found = await session.exec(select(BankFileLine))
            amounts = {line.ref: line.amount_minor for line in found}
            rows = [(ref, result, amounts[ref]) for ref, result in said.items()]
            return await results.import_results(session, MAKER, result_file(currency, rows, closing=closing))


async def queued_payout(
    database: Database, gateway: Gateway, books: BankFileBooks, drive: Drive, worker: UUID | None = None
) -> Payout:
    """Return a payout whose payment waits for a file."""
    worker = worker or new_id()
    await earn(database, worker, AMOUNT_MINOR)
    await books.account(worker)
    payout = await ask_payout(database, gateway, worker)
    await drive()
    return payout


async def line_of(database: Database, payout: Payout) -> BankFileLine:
    """Return a payout's line as it now is."""
    async with database.sessions() as session:
        return (await session.exec(select(BankFileLine).where(BankFileLine.ref == payout.id.hex))).one()


async def balance_of(database: Database, path: str) -> int:
    """Return an account's balance in CNY."""
    async with database.sessions() as session:
        return await queries.balance(session, path, "CNY")


async def breaks_of(settings: Settings, database: Database) -> list[str]:
    """Return all that the whole verification finds broken."""
    async with database.sessions() as session:
        report = await verify_everything(session, *open_gateways(settings, database))
    return [line for found in report.checks for line in found.breaks]
