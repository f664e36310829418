"""Projects, users, API keys and guardrail policies in this machine's database."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from llmos.core.progress import Progress
from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailReplayDescription, place_of
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.users import SignedOutDescription, UserDescription
from llmos.core.who import this_user
from llmos.security import descriptions as describe
from llmos.security.users.descriptions import describe_user

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.cli.control.local import LocalControl
    from llmos.client.security_calls import KeySettings, Limits
    from llmos.gateway.kept_encryption import Discarded, KeptEncryption
    from llmos.security.guardrails.policies import GuardrailPolicies
    from llmos.security.keys import Keys
    from llmos.security.projects import Projects
    from llmos.security.users.sessions import Sessions
    from llmos.security.users.users import User, Users


class LocalProjects:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def create(self, name: str, *, description: str = "", limits: "Limits | None" = None) -> ProjectDescription:
        from llmos.security.limits import Limits as Checked

        created = self.projects.create(
            name, description=description, limits=Checked(**(limits or {})), actor=this_user()
        )
        return describe.describe_project(created)

    def list(self) -> Sequence[ProjectDescription]:
        return [describe.describe_project(project) for project in self.projects.list()]

    def get(self, name: str) -> ProjectDescription:
        return describe.describe_project(self.projects.get(name))

    def set_limits(self, name: str, **limits: "Unpack[Limits]") -> ProjectDescription:
        from llmos.security.limits import Limits as Checked

        return describe.describe_project(self.projects.set_limits(name, Checked(**limits)))

    def set_retention(self, name: str, retention: str) -> ProjectDescription:
        return describe.describe_project(self.projects.set_retention(name, retention, actor=this_user()))

    def remove(self, name: str) -> None:
        self.projects.remove(name, actor=this_user())

    @property
    def projects(self) -> "Projects":
        from llmos.billing.budgets import Budgets
        from llmos.data.app_versions.app_versions import AppVersions
        from llmos.data.apps.deployments import AppDeployments
        from llmos.data.datasets import open_datasets
        from llmos.data.knowledge import open_knowledge
        from llmos.data.project_data import ProjectData, Room
        from llmos.data.prompts.prompts import Prompts
        from llmos.deployments.releases.releases import AppReleases
        from llmos.security.projects import Projects

        database, store = self._control.registry.database, self._control.registry.store
        rooms: list[Room] = [
            open_datasets(self._control.settings, database),
            open_knowledge(database, store),
            Prompts(database, store),
            AppVersions(database, store, self._control.settings.apps_path),
            Budgets(database),
            AppReleases(database, AppDeployments(database)),
        ]
        return Projects(database, ProjectData(database, self._control.files, rooms))


class LocalUsers:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def create(
        self, name: str, *, role: str = "developer", project: str = "owner", password: str | None = None
    ) -> UserDescription:
        created = self._users.create(name, role=role, project=project, password=password, actor=this_user())
        return describe_user(created)

    def list(self, project: str | None = None) -> Sequence[UserDescription]:
        counts = self._sessions.counts()
        return [describe_user(user, counts.get(user.name, 0)) for user in self._users.list(project)]

    def get(self, name: str) -> UserDescription:
        return self._describe(self._users.get(name))

    def set_password(self, name: str, password: str) -> UserDescription:
        return self._describe(self._users.set_password(name, password))

    def set_role(self, name: str, role: str, *, project: str | None = None) -> UserDescription:
        return self._describe(self._users.set_role(name, role, project=project))

    def disable(self, name: str) -> UserDescription:
        return self._describe(self._users.disable(name, actor=this_user()))

    def enable(self, name: str) -> UserDescription:
        return self._describe(self._users.enable(name))

    def sign_out(self, name: str) -> SignedOutDescription:
        user = self._users.get(name)
        return SignedOutDescription(name=user.name, num_sessions=self._sessions.end_all(user.name))

    def remove(self, name: str) -> None:
        self._users.remove(name, actor=this_user())

    def _describe(self, user: "User") -> UserDescription:
        return describe_user(user, self._sessions.counts().get(user.name, 0))

    @property
    def _users(self) -> "Users":
        from llmos.security.users.users import Users

        return Users(self._control.registry.database)

    @property
    def _sessions(self) -> "Sessions":
        from datetime import timedelta

        from llmos.security.users.sessions import Sessions

        settings = self._control.settings
        idle, longest = (timedelta(0, each) for each in (settings.session_idle_seconds, settings.session_seconds))
        return Sessions(self._control.registry.database, idle=idle, longest=longest)


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


class LocalEncryption:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def status(self) -> EncryptionDescription:
        return self._kept.status()

    def rotate(self, project: str | None = None) -> RotationDescription:
        return self._kept.rotate(project)

    def encrypt(self) -> EncryptionDescription:
        return self._kept.encrypt()

    def discard(self) -> "Discarded":
        """Delete what is encrypted under a lost key."""
        return self._kept.discard()

    @property
    def _kept(self) -> "KeptEncryption":
        from llmos.data.datasets.datasets import Datasets
        from llmos.deployments.providers.providers import Providers
        from llmos.gateway.kept_encryption import KeptEncryption

        control = self._control
        providers = Providers(control.registry.database, control.keys_of_data)
        datasets = Datasets(control.registry.database, control.registry.store)
        return KeptEncryption(control.files, datasets, providers, control.projects.projects, control.registry)


class LocalErasures:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def forget(self, *, subject: str, project: str | None = None) -> ErasureCertificate:
        # By its name only: the audit log names what the first argument says.
        from llmos.data.datasets import open_datasets
        from llmos.data.knowledge import open_knowledge
        from llmos.gateway.erasing import Erasing
        from llmos.security.signing_key import SigningKey

        control = self._control
        if project is not None:
            control.projects.get(project)
        database = control.registry.database
        datasets = open_datasets(control.settings, database)
        knowledge = open_knowledge(database, control.registry.store)
        erasing = Erasing(control.files, datasets, knowledge, SigningKey(control.settings.signing_key_path))
        return erasing.forget(subject, project=project, actor=this_user())


class LocalGuardrails:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def set(self, name: str, document: Mapping[str, Any]) -> GuardrailPolicyDescription:
        return describe.describe_guardrail_policy(self._policies.set(name, document, actor=this_user()))

    def list(self) -> Sequence[GuardrailPolicyDescription]:
        return [describe.describe_guardrail_policy(policy) for policy in self._policies.list()]

    def get(self, name: str, *, version: int | None = None) -> GuardrailPolicyDescription:
        return describe.describe_guardrail_policy(self._policies.get(name, version))

    def history(self, name: str) -> Sequence[GuardrailPolicyDescription]:
        return [describe.describe_guardrail_policy(policy) for policy in self._policies.history(name)]

    def apply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription:
        scope, target = place_of(route, project, everywhere)
        return describe.describe_guardrail_policy(self._policies.apply(name, scope, target, actor=this_user()))

    def unapply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription:
        return describe.describe_guardrail_policy(self._policies.unapply(name, *place_of(route, project, everywhere)))

    def remove(self, name: str) -> None:
        self._policies.remove(name, actor=this_user())

    def replay(
        self,
        name: str,
        progress: Progress,
        *,
        since: datetime,
        document: Mapping[str, Any] | None = None,
        project: str | None = None,
    ) -> GuardrailReplayDescription:
        from llmos.data.traffic import KeptTraffic
        from llmos.security.guardrails.policy import open_policy
        from llmos.security.guardrails.replay import replay

        database, policies = self._control.registry.database, self._policies
        traffic = KeptTraffic(database, self._control.files)
        version = 0
        if document is None:
            stored = policies.get(name)
            version, document = stored.version, stored.document
        return replay(
            open_policy(name, version, document),
            traffic.calls(since, project),
            lambda call: policies.of_kept_call(project=call.project, route=call.model),
            since=since,
            num_calls=traffic.count(since, project),
            progress=progress,
        )

    @property
    def _policies(self) -> "GuardrailPolicies":
        from llmos.security.guardrails.policies import GuardrailPolicies

        return GuardrailPolicies(self._control.registry.database, routes=lambda: route_names(self._control))


def route_names(control: "LocalControl") -> Sequence[str]:
    """Return the names that policies can apply to."""
    return [route.name for route in control.route_table.list()]
