"""Exporters in a database of each kind."""

import pytest

from llmos.billing.exporters.batches import ExportBatches
from llmos.billing.exporters.exporters import Exporters
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
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
def exporters(database: Database, encryption: Encryption, clock: Clock) -> Exporters:
    return Exporters(database, encryption, clock=clock)


@pytest.fixture
def batches(database: Database, exporters: Exporters, clock: Clock) -> ExportBatches:
    return ExportBatches(database, exporters, clock=clock)
