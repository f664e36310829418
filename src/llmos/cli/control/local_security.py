"""Projects and API keys in this machine's database."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.who import this_user
from llmos.security import descriptions as describe

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.cli.control.local import LocalControl
    from llmos.client.control_calls import KeySettings, Limits
    from llmos.security.keys import Keys
    from llmos.security.projects import Projects


class LocalProjects:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def create(self, name: str, *, description: str = "", limits: "Limits | None" = None) -> ProjectDescription:
        from llmos.security.limits import Limits as Checked

        created = self._projects.create(
            name, description=description, limits=Checked(**(limits or {})), actor=this_user()
        )
        return describe.describe_project(created)

    def list(self) -> Sequence[ProjectDescription]:
        return [describe.describe_project(project) for project in self._projects.list()]

    def get(self, name: str) -> ProjectDescription:
        return describe.describe_project(self._projects.get(name))

    def set_limits(self, name: str, **limits: "Unpack[Limits]") -> ProjectDescription:
        from llmos.security.limits import Limits as Checked

        return describe.describe_project(self._projects.set_limits(name, Checked(**limits)))

    def remove(self, name: str) -> None:
        self._projects.remove(name, actor=this_user())

    @property
    def _projects(self) -> "Projects":
        from llmos.data.files import Files
        from llmos.data.project_data import ProjectData
        from llmos.security.projects import Projects

        database = self._control.registry.database
        return Projects(database, ProjectData(database, Files(database, self._control.settings.files_path)))


class LocalKeys:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def create(self, **settings: "Unpack[KeySettings]") -> NewKeyDescription:
        from llmos.security.keys import NewKey
        from llmos.security.limits import Limits as Checked

        given = {name: value for name, value in settings.items() if value is not None}
        limits = Checked(**(settings.get("limits") or {}))
        key, text = self._keys.create(NewKey(**{**given, "limits": limits}), actor=this_user())  # type: ignore[arg-type]
        return describe.describe_new_key(key, text)

    def list(self, project: str | None = None) -> Sequence[KeyDescription]:
        return [describe.describe_key(key) for key in self._keys.list(project)]

    def get(self, id: str) -> KeyDescription:
        return describe.describe_key(self._keys.get(id))

    def set_limits(self, id: str, **limits: "Unpack[Limits]") -> KeyDescription:
        from llmos.security.limits import Limits as Checked

        return describe.describe_key(self._keys.set_limits(id, Checked(**limits)))

    def rotate(self, id: str, *, overlap: timedelta | None = None) -> NewKeyDescription:
        from llmos.security.keys import OVERLAP

        key, text = self._keys.rotate(id, overlap=OVERLAP if overlap is None else overlap)
        return describe.describe_new_key(key, text)

    def revoke(self, id: str) -> KeyDescription:
        return describe.describe_key(self._keys.revoke(id, actor=this_user()))

    @property
    def _keys(self) -> "Keys":
        from llmos.security.keys import Keys
        from llmos.security.tokens import Pepper

        return Keys(self._control.registry.database, Pepper(self._control.settings.pepper_path))
