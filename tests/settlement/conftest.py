"""The payment provider of the tests of settlement."""

import pytest

from marketplace.core.actor import Role
from marketplace.payments.sandbox.gateway import SandboxGateway
from tests.factories.identity import make_member, make_operator
from tests.factories.money import committed
from tests.settlement.desk import Desk


@pytest.fixture
def gateway(settings, database):
    return SandboxGateway(settings, database.sessions)


@pytest.fixture
async def operators(database):
    """Two people of the operator, who both may move money."""
    async with committed(database) as session:
        first = await make_operator(session, Role.OPERATOR_FINANCE)
        return first, await make_member(session, first.organisation, Role.OPERATOR_FINANCE)


@pytest.fixture
def desk(database, operators, gateway):
    return Desk(database, operators, gateway)
