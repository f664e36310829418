"""Applications of the project `owner` in this machine's database."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.cli.control.local_names import LocalNames
from llmos.core.app_files import files_in, write_files
from llmos.core.errors import BadRequest
from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.descriptions import describe_removal
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.data.app_versions.app_versions import ProjectApps


class LocalApps(LocalNames):
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def names(self) -> "ProjectApps":
        from llmos.data.app_versions.app_versions import AppVersions

        registry = self._control.registry
        return AppVersions(registry.database, registry.store, self._control.settings.apps_path).of()

    def create(self, folder: Path) -> AppVersionDescription:
        from llmos.data.app_versions.reading import read_content
        from llmos.security.permissions import Permission

        files = files_in(folder)
        try:
            content = read_content(lambda: ((str(name), (folder / name).read_bytes()) for name in files), [*Permission])
            version = self.names.create(content, actor=this_user())
        except OSError as error:
            raise BadRequest(f"{error.filename} can't be read: {error.strerror}.", param="folder") from None
        return self.get(version.ref)

    def list(self) -> Sequence[AppDescription]:
        from llmos.data.app_versions.descriptions import describe_version

        versions = self.names.list()
        labels = self.names.labels_of(versions)
        return [describe_version(version, labels) for version in versions]

    def get(self, name: str) -> AppVersionDescription:
        from llmos.data.app_versions.descriptions import describe_details

        return describe_details(self.names.show(name))

    def pull(self, name: str, folder: Path) -> Path:
        return write_files(self.names.contents(self.names.resolve(name)), folder)

    def diff(self, older: str, newer: str) -> AppDifference:
        from llmos.data.app_versions.comparing import compare

        names = self.names
        return compare(names.files(names.resolve(older)), names.files(names.resolve(newer)))

    def remove(self, name: str) -> RemovalDescription:
        return describe_removal(self.names.remove(name, actor=this_user()))
