"""Exporters in this machine's database."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Unpack

from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterFields, ExporterTest

if TYPE_CHECKING:
    from llmos.billing.exporters.exporters import Exporters
    from llmos.cli.control.local import LocalControl


class LocalExporters:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _exporters(self) -> "Exporters":
        from llmos.billing.exporters.exporters import Exporters

        return Exporters(self._control.registry.database, self._control.keys_of_data)

    def add(self, name: str, kind: str, url: str, **fields: Unpack[ExporterFields]) -> ExporterDescription:
        from llmos.billing.exporters.exporters import NewExporter

        return self._exporters.add(NewExporter(name=name, kind=kind, url=url, **fields))

    def list(self) -> Sequence[ExporterDescription]:
        return self._exporters.list()

    def get(self, name: str) -> ExporterDetails:
        return self._exporters.get(name)

    def test(self, name: str) -> ExporterTest:
        import asyncio

        from llmos.core.posting import Poster

        async def send() -> ExporterTest:
            async with Poster() as poster:
                return await self._exporters.test(name, poster)

        return asyncio.run(send())

    def pause(self, name: str) -> ExporterDescription:
        return self._exporters.pause(name)

    def resume(self, name: str) -> ExporterDescription:
        return self._exporters.resume(name)

    def retry(self, name: str) -> ExporterDescription:
        return self._exporters.retry(name)

    def remove(self, name: str) -> None:
        self._exporters.remove(name)
