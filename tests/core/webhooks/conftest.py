"""Webhooks in a database of each kind."""

import pytest

from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import Webhooks
from support.databases import KINDS
from support.turned_clock import Clock


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def webhooks(database: Database, encryption: Encryption, clock: Clock) -> Webhooks:
    return Webhooks(database, encryption, clock=clock)


@pytest.fixture
def outbox(database: Database, encryption: Encryption, webhooks: Webhooks, clock: Clock) -> Outbox:
    return Outbox(database, encryption, webhooks, clock=clock)
