"""The applications on a server and their Versions, for asyncio: the same calls as in app_versions.py, awaited."""

import builtins
from pathlib import Path

from llmos.client import app_version_calls as calls
from llmos.client.async_hosted_apps import AsyncHostedApps
from llmos.client.async_naming import AsyncVersionedNoun
from llmos.client.async_released_apps import AsyncReleasedApps
from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription
from llmos.core.schemas.models import RemovalDescription


class AsyncApps(AsyncHostedApps, AsyncReleasedApps, AsyncVersionedNoun):
    """The applications of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT

    async def create(self, folder: Path | str, *, environment: str = "") -> AppVersionDescription:
        """Make a Version of a folder with app.yaml, or return the one that is the same already. Nothing is run.

        `environment`: the one in app.yaml whose values the Version has.
        """
        return await self._client._request(calls.create_app(folder, environment))

    async def list(self) -> builtins.list[AppDescription]:
        """Return every Version."""
        return await self._client._request(calls.list_apps())

    async def get(self, name: str) -> AppVersionDescription:
        """Return a Version with its files and app.yaml. Raises NotFound with similar names."""
        return await self._client._request(calls.get_app(name))

    async def pull(self, name: str, folder: Path | str) -> Path:
        """Write the files of a Version into a new folder, and return it."""
        pieces = [piece async for piece in self._client._download(calls.download_files(name))]
        return calls.write_files(pieces, folder)

    async def diff(self, older: str, newer: str) -> AppDifference:
        """Return the files, the fields of app.yaml and the prompts that differ."""
        return await self._client._request(calls.compare_apps(older, newer))

    async def remove(self, name: str) -> RemovalDescription:
        """Remove a whole application (NAME), a Version (NAME@3) or an alias (NAME:ALIAS).

        Raises Conflict for a Version that is deployed, or that an alias points at. Prompts that came with it stay.
        """
        return await self._client._request(calls.remove_app(name))
