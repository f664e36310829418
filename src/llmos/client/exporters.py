"""Exporters: services elsewhere that are sent the entries of the ledger."""

import builtins
from typing import Unpack

from llmos.client import exporter_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterFields, ExporterTest


class Exporters(Noun):
    """The consumption of every call, as events for OpenMeter, Lago, or any receiver of CloudEvents."""

    def add(self, name: str, kind: str, url: str, **fields: Unpack[ExporterFields]) -> ExporterDescription:
        """Add an exporter. kind: openmeter, lago or cloudevents. key: the receiver's, which is kept encrypted.

        Times without a zone are those of this machine.
        """
        return self._client._request(calls.add_exporter(name, kind, url, fields))

    def list(self) -> builtins.list[ExporterDescription]:
        return self._client._request(calls.list_exporters())

    def get(self, name: str) -> ExporterDetails:
        """Return an exporter, with the entries that its receiver refused."""
        return self._client._request(calls.get_exporter(name))

    def test(self, name: str) -> ExporterTest:
        """Send an event that counts nothing, and return what the receiver answered."""
        return self._client._request(calls.test_exporter(name))

    def pause(self, name: str) -> ExporterDescription:
        return self._client._request(calls.change_exporter(name, "pause"))

    def resume(self, name: str) -> ExporterDescription:
        """Continue after a pause, or retry at once after a failure."""
        return self._client._request(calls.change_exporter(name, "resume"))

    def retry(self, name: str) -> ExporterDescription:
        """Send the entries that were refused once more."""
        return self._client._request(calls.change_exporter(name, "retry"))

    def remove(self, name: str) -> None:
        self._client._request(calls.remove_exporter(name))
