"""Delivers what is in the outbox of a database, until it is killed: sending_program.py DATABASE KEYS."""

import asyncio
import sys
from pathlib import Path

from llmos.core.database import Database
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import Webhooks
from llmos.gateway.jobs.webhook_runner import WebhookRunner
from support.encryption import open_test_encryption

if __name__ == "__main__":
    database = Database(sys.argv[1])
    encryption = open_test_encryption(database, Path(sys.argv[2]))
    webhooks = Webhooks(database, encryption)
    asyncio.run(WebhookRunner(Outbox(database, encryption, webhooks)).run())
