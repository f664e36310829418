"""AppSupervisor: the applications that are deployed run, each in a process of its own; those that aren't, don't.

What is wanted is in the database. Every server that uses it runs every deployed application by itself: none depends on
another one. A server that is killed leaves no process behind, and the next one starts what is deployed.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmos.core.app_manifest import read_manifest
from llmos.core.changes import Changes
from llmos.core.clock import Clock, utc_now
from llmos.core.config import Settings
from llmos.core.errors import BadRequest, LLMOSError, NotFound, Unavailable
from llmos.core.ids import new_id
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.schemas.hosted_apps import AppDeploymentDescription
from llmos.core.suggest import did_you_mean
from llmos.data.apps.deployments import AppDeployment, AppDeployments
from llmos.deployments.routing.choice import choose
from llmos.gateway.hosted_apps.asked_versions import AskedVersions
from llmos.gateway.hosted_apps.host import AppHost
from llmos.gateway.hosted_apps.isolation import variables_of
from llmos.gateway.hosted_apps.log import AppLog
from llmos.gateway.hosted_apps.process import AppProcess, Continuing, Launch
from llmos.gateway.hosted_apps.server_folder import ServerFolder
from llmos.security.keys import Keys, NewKey
from llmos.security.permissions import ALL_PERMISSIONS, Permission

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""The delay until a deployment by another process is noticed."""
SETTLE_SECONDS = 30.0
"""The most seconds that `deploy` waits until the new version answers."""
_ACTOR = "apps"

_EVERY_APP = (Permission.INFERENCE, Permission.MODELS_READ, Permission.APPS_READ, Permission.APPS_RUN)
"""The permissions that the key of every application has."""


class AppFiles(Protocol):
    """The versions of applications."""

    def unpack(self, project: str, ref: str) -> Path:
        """Return a folder with the files of a version, such as support@3. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class AppName:
    project: str
    app: str


class AppSupervisor:
    """Belongs to the event loop's thread, but for changes of deployments, which any thread may make."""

    def __init__(
        self, deployments: AppDeployments, files: AppFiles, keys: Keys, settings: Settings, *, clock: Clock = utc_now
    ) -> None:
        self.deployments = deployments
        self._files, self._keys, self._settings, self._clock = files, keys, settings, clock
        self._hosts: dict[AppName, AppHost] = {}
        self._candidates: dict[AppName, AppHost] = {}
        """The hosts of versions that are taking over."""
        self._percent_of: dict[AppName, float] = {}
        """The share of the callers that a candidate answers."""
        self._key_ids: dict[str, AppName] = {}
        self._endpoint = ""
        self._folder: ServerFolder | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        """The tasks that let processes finish and end them."""
        self.asked = AskedVersions(self._start, self._keep, clock=clock)
        self._state: int | None = None
        self._is_draining = False

    async def run(self, endpoint: str) -> None:
        """Keep the deployed applications running until cancelled. `endpoint`: this server's address, for them."""
        self._endpoint = endpoint
        changes = Changes()
        self.deployments.on_change = changes.notify
        try:
            self._folder = await asyncio.to_thread(ServerFolder, self._settings.home)
            await asyncio.to_thread(self._folder.tidy_up, self._revoke_left)
            while True:
                try:
                    await self.reconcile()
                except Exception:  # Such as a database that is gone for a moment.
                    _log.exception("The deployed apps can't be read. Trying again in a moment")
                await changes.wait(POLL_SECONDS)
        finally:
            self.deployments.on_change = None

    async def reconcile(self) -> None:
        """Make one pass."""
        if self._is_draining:
            return
        state = self.deployments.database.state()
        if state is not None and state == self._state:
            return
        found = await asyncio.to_thread(self.deployments.list)
        wanted = {AppName(each.project, each.app): each for each in found if not each.is_stopped}
        for name, deployment in wanted.items():
            self._promote_candidate(name, deployment)
        self._want(self._hosts, {name: each.main for name, each in wanted.items()})
        candidates = {name: each.of_candidate for name, each in wanted.items()}
        self._want(self._candidates, {name: each for name, each in candidates.items() if each is not None})
        self._percent_of = {name: wanted[name].candidate_percent for name in self._candidates}
        self._state = state

    def _want(self, hosts: dict[AppName, AppHost], wanted: Mapping[AppName, AppDeployment]) -> None:
        """Let these deployments be served, and no other ones."""
        for name, deployment in wanted.items():
            if (host := hosts.get(name)) is None:
                hosts[name] = AppHost(deployment, self._start)
            else:
                host.want(deployment)
        for name in [*hosts]:
            if name not in wanted:
                self._keep(hosts.pop(name).drain())

    def _promote_candidate(self, name: AppName, deployment: AppDeployment) -> None:
        """Let the candidate's process be the one of the application, once its version is the deployed one."""
        candidate = self._candidates.get(name)
        if candidate is not None and deployment.candidate is None and candidate.wanted.ref == deployment.ref:
            if (before := self._hosts.get(name)) is not None:
                self._keep(before.drain())
            self._hosts[name] = self._candidates.pop(name)

    @property
    def has_processes(self) -> bool:
        return bool(self._hosts or self._candidates or self.asked or self._leaving)

    async def drain(self) -> None:
        """Return when the last run of each application has ended, and its process with it."""
        self._is_draining = True
        hosts = self._take_hosts()
        await asyncio.gather(*(host.drain() for host in hosts), *self._leaving)

    async def close(self) -> None:
        """End all processes now."""
        self._is_draining = True
        hosts = self._take_hosts()
        await asyncio.gather(*(host.kill() for host in hosts))
        leaving = [*self._leaving]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        if self._folder is not None:
            await asyncio.to_thread(self._folder.close)

    def _take_hosts(self) -> Sequence[AppHost]:
        hosts = [*self._hosts.values(), *self._candidates.values(), *self.asked.take()]
        self._hosts, self._candidates = {}, {}
        return hosts

    # Requests to the applications

    def host(self, project: str, app: str, caller: str = "") -> AppHost:
        """Return the host of a deployed application, or that of the version that takes over, by the caller: one caller
        stays with the version that once answered, while the share of that one grows. Without a name, each call is a
        caller of its own. Raises NotFound."""
        name = AppName(project, app)
        host, candidate = self._hosts.get(name), self._candidates.get(name)
        if host is not None and candidate is not None and candidate.current is not None:
            percent = self._percent_of.get(name, 0.0)
            key = f"{project}/{app}/{candidate.wanted.ref}/{caller or new_id('caller')}"
            if percent and (percent >= 100 or choose({"before": 100 - percent, "new": percent}, key) == "new"):
                return candidate
        if host is None:
            known = [name.app for name in self._hosts if name.project == project]
            raise NotFound(
                f"No app {app[:64]!r} is deployed in this project. {did_you_mean(app, known)} To deploy one:"
                " llmos app deploy",
                param="model",
            )
        return host

    def version_host(self, project: str, app: str, version: int) -> AppHost:
        """Return the host of one version: the deployed one, or one that is started because it is asked for.

        The caller has looked whether there is such a version. Raises Unavailable while the server ends.
        """
        ref = f"{app}@{version}"
        deployed = self._hosts.get(AppName(project, app))
        if deployed is not None and deployed.current is not None and deployed.current.ref == deployed.wanted.ref == ref:
            return deployed
        if self._is_draining or self._folder is None:
            raise Unavailable("The server is stopping. Try again in a moment.", retry_after_seconds=1)
        return self.asked.host(project, app, version)

    def of_project(self, project: str) -> Mapping[str, AppHost]:
        """Return the hosts of a project by the names of their applications."""
        return {name.app: host for name, host in sorted(self._hosts.items(), key=lambda each: each[0].app)
                if name.project == project}  # fmt: skip

    def depth_within(self, key_id: str) -> int:
        """Return how deep the runs of the process with this key stand at most."""
        name = self._key_ids.get(key_id)
        hosts: list[AppHost | None] = []
        if name is not None:
            hosts = [self._hosts.get(name), self._candidates.get(name), *self.asked.of_app(name.project, name.app)]
        processes = [host.current for host in hosts if host is not None and host.current is not None]
        return max((max(each.depths, default=1) for each in processes), default=1)

    def candidate(self, project: str, app: str) -> AppHost | None:
        """Return the host of the version that takes over; None if there is none."""
        return self._candidates.get(AppName(project, app))

    async def describe(self, deployment: AppDeployment) -> AppDeploymentDescription:
        """Return what is wanted of an application, and what runs."""
        host = self._hosts.get(AppName(deployment.project, deployment.app))
        facts: dict[str, Any] = {
            "app": deployment.app,
            "version": deployment.ref,
            "deployed_at": deployment.changed_at,
            "deployed_by": deployment.changed_by,
            **self._describe_candidate(deployment),
        }
        if deployment.is_stopped or host is None:
            return AppDeploymentDescription(state="stopped" if deployment.is_stopped else "starting", **facts)
        process = host.current
        return AppDeploymentDescription(
            state=host.state,
            serving=None if process is None else process.ref,
            reason=host.reason,
            pid=None if process is None else process.pid,
            restarts=host.num_restarts,
            num_runs=0 if process is None else process.num_runs,
            is_isolated=process is not None and process.is_isolated,
            since=host.since,
            **facts,
        )

    def _describe_candidate(self, deployment: AppDeployment) -> Mapping[str, Any]:
        candidate = deployment.of_candidate
        if candidate is None:
            return {}
        host = self._candidates.get(AppName(deployment.project, deployment.app))
        state, reason = ("starting", None) if host is None else (host.state, host.reason)
        return {
            "candidate": candidate.ref,
            "candidate_percent": deployment.candidate_percent,
            "candidate_state": state,
            "candidate_reason": reason,
        }

    async def settle(self, deployment: AppDeployment) -> None:
        """Return when the deployment answers, or can't."""
        self._state = None
        await self.reconcile()
        host = self._hosts.get(AppName(deployment.project, deployment.app))
        if host is not None:
            await host.settled(SETTLE_SECONDS)

    async def continue_runs(self, project: str, app: str) -> None:
        """Let an application look for runs that are ready to be continued."""
        host = self._hosts.get(AppName(project, app))
        if host is not None and host.current is not None:
            await host.current.connection.continue_runs()

    def manifest(self, project: str, ref: str) -> AppManifest:
        """Return the manifest of a version, checked. Raises NotFound, and BadRequest for what no process may have."""
        return check_manifest(read_manifest(self._files.unpack(project, ref)))

    def log(self, project: str, app: str) -> AppLog:
        return AppLog(self._settings.home / "hosting" / "logs" / project / f"{app}.log")

    # Processes

    async def _start(self, wanted: AppDeployment, continuing: Continuing) -> AppProcess:
        assert self._folder is not None, "run() has made it"
        folder = await asyncio.to_thread(self._files.unpack, wanted.project, wanted.ref)
        manifest = check_manifest(await asyncio.to_thread(read_manifest, folder))
        key_id, key = await asyncio.to_thread(self._make_key, wanted, manifest, self._folder)
        self._key_ids[key_id] = AppName(wanted.project, wanted.app)
        log, clock = self.log(wanted.project, wanted.app), self._clock
        own = {"LLMOS_ENDPOINT": self._endpoint, "LLMOS_API_KEY": key}
        launch = Launch(
            app=wanted.app,
            ref=wanted.ref,
            folder=folder,
            home=self._settings.home,
            work=self._folder.new_work(),
            environment={**variables_of(manifest.environment), **own},
            memory_mb=manifest.memory_mb,
            continuing=continuing,
            on_line=lambda line: log.write(line, clock()),
        )
        try:
            process = await AppProcess.start(launch)
        except BaseException:
            await asyncio.shield(self._revoke(key_id))
            raise
        self._keep(self._revoke_after(process, key_id))
        return process

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _revoke_after(self, process: AppProcess, key_id: str) -> None:
        try:
            await process.wait()
        finally:
            await asyncio.shield(self._revoke(key_id))

    async def _revoke(self, key_id: str) -> None:
        self._key_ids.pop(key_id, None)
        with suppress(LLMOSError):  # It stays noted, and the next server revokes it.
            await asyncio.to_thread(self._keys.revoke, key_id, actor=_ACTOR)
            assert self._folder is not None
            self._folder.forget_key(key_id)

    def _revoke_left(self, key_id: str) -> None:
        with suppress(NotFound):
            self._keys.revoke(key_id, actor=_ACTOR)

    def _make_key(self, wanted: AppDeployment, manifest: AppManifest, folder: ServerFolder) -> tuple[str, str]:
        new = NewKey(
            project=wanted.project,
            name=f"app {wanted.ref}",
            role="owner",
            routes=[*dict.fromkeys([manifest.model, *manifest.models])],
            permissions=permissions_of(manifest),
            app=wanted.app,
        )
        key, text = self._keys.create(new, actor=_ACTOR)
        folder.note_key(key.id)
        return key.id, text


def permissions_of(manifest: AppManifest) -> Sequence[Permission]:
    """Return what the key of an application may do. Raises BadRequest for a permission that there is not."""
    known = {str(each): each for each in ALL_PERMISSIONS}
    for name in manifest.permissions:
        if name not in known:
            raise BadRequest(
                f"app.yaml: there is no permission {name[:80]!r}. {did_you_mean(name, [*known])}", param="permissions"
            )
    knowledge = [Permission.KNOWLEDGE_READ] if manifest.knowledge is not None else []
    prompts = [] if isinstance(manifest.prompt, str) else [Permission.PROMPTS_READ]
    return [*dict.fromkeys([*_EVERY_APP, *knowledge, *prompts, *(known[name] for name in manifest.permissions)])]


def check_manifest(manifest: AppManifest) -> AppManifest:
    """Return the manifest. Raises BadRequest for permissions that there are not, and for the server's own variables."""
    permissions_of(manifest)
    variables_of(manifest.environment)
    return manifest
