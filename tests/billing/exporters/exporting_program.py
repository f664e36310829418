"""Sends what exporters have to send, until it is killed: exporting_program.py DATABASE KEYS."""

import asyncio
import sys
from pathlib import Path

from llmos.billing.exporters.batches import ExportBatches
from llmos.billing.exporters.exporters import Exporters
from llmos.core.database import Database
from llmos.gateway.jobs.exporter_runner import ExporterRunner
from support.encryption import open_test_encryption

if __name__ == "__main__":
    database = Database(sys.argv[1])
    encryption = open_test_encryption(database, Path(sys.argv[2]))
    asyncio.run(ExporterRunner(ExportBatches(database, Exporters(database, encryption)), poll_seconds=0.05).run())
