"""The applications on a server and their Versions, with blocking calls."""

import builtins
from pathlib import Path

from llmos.client import app_version_calls as calls
from llmos.client.hosted_apps import HostedApps
from llmos.client.naming import VersionedNoun
from llmos.client.released_apps import ReleasedApps
from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription
from llmos.core.schemas.models import RemovalDescription


class Apps(HostedApps, ReleasedApps, VersionedNoun):
    """The applications of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT

    def create(self, folder: Path | str, *, environment: str = "") -> AppVersionDescription:
        """Make a Version of a folder with app.yaml, or return the one that is the same already. Nothing is run.

        `environment`: the one in app.yaml whose values the Version has.
        """
        return self._client._request(calls.create_app(folder, environment))

    def list(self) -> builtins.list[AppDescription]:
        """Return every Version."""
        return self._client._request(calls.list_apps())

    def get(self, name: str) -> AppVersionDescription:
        """Return a Version with its files and app.yaml. Raises NotFound with similar names."""
        return self._client._request(calls.get_app(name))

    def pull(self, name: str, folder: Path | str) -> Path:
        """Write the files of a Version into a new folder, and return it."""
        return calls.write_files(self._client._download(calls.download_files(name)), folder)

    def diff(self, older: str, newer: str) -> AppDifference:
        """Return the files, the fields of app.yaml and the prompts that differ."""
        return self._client._request(calls.compare_apps(older, newer))

    def remove(self, name: str) -> RemovalDescription:
        """Remove a whole application (NAME), a Version (NAME@3) or an alias (NAME:ALIAS).

        Raises Conflict for a Version that is deployed, or that an alias points at. Prompts that came with it stay.
        """
        return self._client._request(calls.remove_app(name))
