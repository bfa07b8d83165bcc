"""The payment provider of the tests of settlement."""

import pytest

from marketplace.payments.sandbox.gateway import SandboxGateway


@pytest.fixture
def gateway(settings, database):
    return SandboxGateway(settings, database.sessions)
