"""The ledger over both kinds of databases."""

import pytest

from llmos.billing.ledger import Ledger
from llmos.core.database import Database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)
