"""Exporters, for asyncio programs: the same calls as in exporters.py, awaited."""

import builtins
from typing import Unpack

from llmos.client import exporter_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterFields, ExporterTest


class AsyncExporters(AsyncNoun):
    """The consumption of every call, as events for OpenMeter, Lago, or any receiver of CloudEvents."""

    async def add(self, name: str, kind: str, url: str, **fields: Unpack[ExporterFields]) -> ExporterDescription:
        """Add an exporter. kind: openmeter, lago or cloudevents. key: the receiver's, which is kept encrypted.

        Times without a zone are those of this machine.
        """
        return await self._client._request(calls.add_exporter(name, kind, url, fields))

    async def list(self) -> builtins.list[ExporterDescription]:
        return await self._client._request(calls.list_exporters())

    async def get(self, name: str) -> ExporterDetails:
        """Return an exporter, with the entries that its receiver refused."""
        return await self._client._request(calls.get_exporter(name))

    async def test(self, name: str) -> ExporterTest:
        """Send an event that counts nothing, and return what the receiver answered."""
        return await self._client._request(calls.test_exporter(name))

    async def pause(self, name: str) -> ExporterDescription:
        return await self._client._request(calls.change_exporter(name, "pause"))

    async def resume(self, name: str) -> ExporterDescription:
        """Continue after a pause, or retry at once after a failure."""
        return await self._client._request(calls.change_exporter(name, "resume"))

    async def retry(self, name: str) -> ExporterDescription:
        """Send the entries that were refused once more."""
        return await self._client._request(calls.change_exporter(name, "retry"))

    async def remove(self, name: str) -> None:
        await self._client._request(calls.remove_exporter(name))
