"""ServerControl: the control port on a server, through the client."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from llmos.cli.control.job_results import result_of, show_progress
from llmos.cli.control.local import LocalControl, accepts_connections
from llmos.cli.control.ports.models import MakeRequest, OnNotice
from llmos.cli.output import stderr
from llmos.client.call import Call
from llmos.client.datasets import Datasets
from llmos.client.knowledge import Knowledge
from llmos.client.prompts import Prompts
from llmos.client.security import Guardrails
from llmos.client.upload_calls import OnBytes
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.progress import Progress
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.base import Description, read_description
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.datasets import DatasetExportDescription
from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.core.schemas.encryption import EncryptedModelsDescription
from llmos.core.schemas.evals import EvalRunDetails
from llmos.core.schemas.guardrails import GuardrailReplayDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import (
    CatalogEntryDescription,
    MadeDescription,
    ModelDescription,
    RemovalDescription,
    VersionDetails,
)
from llmos.core.schemas.prompts import PromptDetails
from llmos.core.schemas.signatures import SignedDescription
from llmos.core.schemas.transfers import ExportDescription, PushDescription

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.client import Client
    from llmos.client.deployment_calls import DeploymentSettings
    from llmos.security.signing_key import PublicKey

D = TypeVar("D", bound=Description)

_PAGE = 1000
"""The entries of the audit log that are asked for at once."""

_READ_SECONDS = 30
"""No call of the control plane waits for a model."""


class ServerControl:
    def __init__(self) -> None:
        from llmos.cli.retry_notes import show_retries
        from llmos.client import Client

        show_retries()
        self._client = Client(timeout_seconds=_READ_SECONDS)
        self.server_url = self._client.endpoint
        self.models = ServerModels(self._client)
        self.cards = ServerCards(self._client)
        self.signing = ServerSigning(self._client)
        self.deployments = ServerDeployments(self._client)
        self.datasets = ServerDatasets(self._client)
        self.knowledge = ServerKnowledge(self._client)
        self.apps = self._client.apps
        self.prompts = ServerPrompts(self._client)
        self.evals = ServerEvals(self._client)
        self.jobs = self._client.jobs
        self.keys = self._client.keys
        self.nodes = self._client.nodes
        self.policies = self._client.policies
        self.routes = self._client.routes
        self.projects = self._client.projects
        self.encryption = self._client.encryption
        self.users = self._client.users
        self.erasures = self._client.erasures
        self.guardrails = ServerGuardrails(self._client)
        self.audit = ServerAudit(self._client)
        self.receipts = self._client.receipts
        self.usage = self._client.usage
        self.answers = self._client.answers
        self.logs = self._client.logs
        self.prices = self._client.prices
        self.budgets = self._client.budgets
        self.plans = self._client.plans
        self.credit = self._client.credit
        self.invoices = self._client.invoices
        self.ledger = self._client.ledger
        self.exporters = self._client.exporters
        self.providers = self._client.providers
        self.handoffs = self._client.handoffs
        self.conversations = self._client.conversations
        self.feedback = self._client.feedback
        self.webhooks = self._client.webhooks
        self.rollouts = self._client.rollouts

    @property
    def is_served(self) -> bool:
        return accepts_connections(self.server_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


class ServerAudit:
    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(
        self,
        *,
        since: datetime | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntryDescription]:
        return self._client.audit.list(since=since, actor=actor, action=action, before=before, limit=limit)

    def verify(
        self, *, checkpoints: Sequence[Mapping[str, Any]] = (), keys: "Sequence[PublicKey]" = ()
    ) -> AuditVerification:
        """With keys, the entries are verified here, and the server isn't trusted with it."""
        if not keys:
            return self._client.audit.verify(checkpoints=checkpoints)
        from llmos.security.audit.entries import read_line
        from llmos.security.audit.verification import verify

        return verify(map(read_line, self.export()), checkpoints, keys)

    def checkpoint(self) -> CheckpointDescription:
        return self._client.audit.checkpoint()

    def export(self) -> Iterator[bytes]:
        pages: list[Sequence[AuditEntryDescription]] = []
        while not pages or pages[-1]:
            before = pages[-1][-1].number if pages else None
            pages.append(self._client.audit.list(before=before, limit=_PAGE))
        for page in reversed(pages):
            for entry in reversed(page):
                yield json.dumps(entry.raw, ensure_ascii=False).encode() + b"\n"


class ServerModels:
    def __init__(self, client: "Client") -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client.models, name)  # The client has the port's calls about names.

    def list(self, *, tags: Sequence[str] = ()) -> Sequence[ModelDescription]:
        return [model.info for model in self._client.models.list(tags=tags)]

    def get(self, name: str) -> ModelDescription:
        return self._client.models.get(name).info

    def details(self, name: str) -> VersionDetails:
        return self._client.models.details(name)

    def catalog(self) -> Sequence[CatalogEntryDescription]:
        return self._client.models.catalog()

    def remove(self, name: str) -> RemovalDescription:
        return self._client.models.remove(name)

    def stop_removed(self, versions: Sequence[str], on_notice: OnNotice) -> None:
        """Do nothing: the server stops them itself."""

    def pull(
        self,
        location: str,
        name: str | None,
        progress: Progress,
        on_notice: OnNotice,
        *,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
        encrypts: bool = False,
    ) -> ModelDescription:
        more: dict[str, Any] = {"ignored_keys": [*ignored_keys]} if ignored_keys else {}
        more |= {"task": task} if task is not None else {}
        more |= {"encrypt": True} if encrypts else {}
        return _run_job(self._client, ModelDescription, progress, "pull", model=location, name=name, **more)

    def make(self, request: MakeRequest, progress: Progress) -> MadeDescription:
        return _run_job(
            self._client,
            MadeDescription,
            progress,
            request.kind,
            model=request.model,
            scheme=request.scheme,
            options={name: value for name, value in request.options.items() if value is not None},
            name=request.name,
            calibration=None if request.calibration is None else _read_text(request.calibration),
            card=request.card,
        )

    def import_path(
        self,
        path: Path,
        name: str | None,
        progress: Progress,
        *,
        license: str | None = None,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
        encrypts: bool = False,
    ) -> ModelDescription:
        if encrypts:
            raise BadRequest(
                "A server decides by itself whether it encrypts imported models. To turn that on:"
                " llmos policy set encrypt_models on",
                param="encrypt",
            )
        with _scratch() as scratch:
            imported = scratch.models.import_path(
                path, name, progress, license=license, ignored_keys=ignored_keys, task=task
            )
            pushed = scratch.models.push(imported.version, f"llmos:{self._client.endpoint}", progress)
        return self._client.models.get(_reference(pushed.location)).info

    def merge_adapter(self, path: Path, model: str, name: str, progress: Progress) -> ModelDescription:
        raise BadRequest(
            f"An adapter is merged on the machine that has {model}. Run the command there, with the adapter's folder.",
            param="merge",
        )

    def encrypt(self, name: str | None, progress: Progress) -> EncryptedModelsDescription:
        return _run_job(self._client, EncryptedModelsDescription, progress, "encrypt", model=name)

    def push(
        self, name: str, target: str, progress: Progress, *, base: str | None = None, decrypts: bool = False
    ) -> PushDescription:
        """Send it through this machine, with the credentials of this machine's user."""
        with _pulled(self._client, name, progress) as (scratch, reference):
            return scratch.models.push(reference, target, progress, base=base, decrypts=decrypts)

    def export(self, name: str, path: Path | None, progress: Progress, *, decrypts: bool = False) -> ExportDescription:
        version = self._client.models.get(name).version
        path = path or Path(f"{version.replace('@', '-')}.llmos.tar")
        with _pulled(self._client, name, progress) as (scratch, reference):
            return scratch.models.export(reference, path, progress, decrypts=decrypts)


class ServerKnowledge(Knowledge):
    def _follow(self, call: Call[JobDescription], on_progress: OnBytes | None) -> JobDescription:
        return _follow(self._client, self._client._request(call), on_progress)


class ServerPrompts(Prompts):
    def create_from(self, name: str, file: Path) -> PromptDetails:
        """Errors name the file, so it is read here, too."""
        from llmos.core.prompt_text import PromptText, read_prompt_file

        prompt = PromptText.parse(read_prompt_file(file), str(file)).as_json()
        return self.create(name, prompt["text"], variables=prompt["variables"])


class ServerDatasets(Datasets):
    def _follow(self, call: Call[JobDescription], on_progress: OnBytes | None) -> JobDescription:
        return _follow(self._client, self._client._request(call), on_progress)

    def export_to(
        self, name: str, path: Path, progress: Progress, *, shape: str | None = None, columns: bool = True
    ) -> DatasetExportDescription:
        """Write a file: the server sends no folder."""
        from llmos.data.datasets.formats._bytes import compressed

        details = self.get(name)
        if path.suffix not in (".jsonl", ".gz", ".zst"):
            raise BadRequest(f"From a server, {details.version} is exported to a file: {path}.jsonl", param="path")
        num_bytes = 0
        with path.open("xb") as plain, compressed(plain, path.name) as file:
            for piece in self.export(details.version, shape=shape, columns=columns):
                file.write(piece)
                num_bytes += len(piece)
                progress(path.name, num_bytes, None)
        size = path.stat().st_size
        return DatasetExportDescription(path=str(path), num_rows=details.num_rows, size_bytes=size)


class ServerCards:
    def __init__(self, client: "Client") -> None:
        self._client = client

    def get(self, name: str) -> CardDescription:
        return self._client.models.card(name)

    def measure(self, name: str, progress: Progress) -> CardDescription:
        return _run_job(self._client, CardDescription, progress, "card", model=self._client.models.get(name).version)

    def related(self, name: str) -> Sequence[CardDescription]:
        return self._client.models.related_cards(name)


class ServerSigning:
    def __init__(self, client: "Client") -> None:
        self._client = client

    def sign(self, name: str, key: Path, progress: Progress) -> SignedDescription:
        """Sign it on this machine: the key doesn't leave it."""
        with _pulled(self._client, name, progress) as (scratch, reference):
            signed = scratch.signing.sign(reference, key, progress)
            version = scratch.registry.resolve(reference)
            for signature in scratch.registry.signatures.get(version):
                self._client.signatures.add(name, signature)
        return msgspec.structs.replace(signed, version=self._client.models.get(name).version)

    def verify(self, name: str, key: Path | None, progress: Progress) -> SignedDescription:
        """Read the Version on the server, by this public key or those that the server trusts."""
        from llmos.models.signing.trusted_keys import read_key

        pem = None if key is None else read_key(key).pem.decode()
        return _run_job(self._client, SignedDescription, progress, "verify", model=name, key=pem)


class ServerDeployments:
    def __init__(self, client: "Client") -> None:
        self._deployments = client.deployments

    def list(self) -> Sequence[DeploymentDescription]:
        return [each for each in self._deployments.list() if each.wanted is not None]

    def running(self) -> Sequence[DeploymentDescription]:
        return self._deployments.list()

    def deploy(self, name: str, **settings: "Unpack[DeploymentSettings]") -> DeploymentDescription:
        return self._deployments.deploy(name, **settings)

    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentDescription:
        return self._deployments.scale(name, replicas=replicas, min_replicas=min_replicas, max_replicas=max_replicas)

    def sleep(self, name: str) -> DeploymentDescription:
        return self._deployments.stop(name)

    def wake(self, name: str) -> DeploymentDescription:
        return self._deployments.wake(name)

    def stop(self, name: str) -> DeploymentDescription:
        return self._deployments.stop(name)

    def remove(self, name: str) -> str:
        version = self._deployments.get(name).version
        self._deployments.remove(name)
        return version

    def history(self, name: str) -> Sequence[DeploymentEventDescription]:
        return self._deployments.history(name)


class ServerGuardrails(Guardrails):
    def replay(
        self,
        name: str,
        progress: Progress,
        *,
        since: datetime,
        document: Mapping[str, Any] | None = None,
        project: str | None = None,
    ) -> GuardrailReplayDescription:
        fields = {"policy": name, "since": since.isoformat(), "document": document, "project": project}
        return _run_job(self._client, GuardrailReplayDescription, progress, "replay", **fields)


class ServerEvals:
    def __init__(self, client: "Client") -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client.evals, name)  # The client has the port's other calls.

    def run(
        self, suite: Path | str, progress: Progress, *, models: Sequence[str] = (), repeat: int | None = None
    ) -> EvalRunDetails:
        from llmos.cli.suite_files import read_suite_file

        settings: dict[str, Any] = {"models": models, "repeat": repeat}
        if isinstance(suite, Path):
            # It is read here, too: errors then name the line.
            started = self._client.evals.start(read_suite_file(suite).document, **settings)
        else:
            started = self._client.evals.start(dataset=suite, **settings)
        if started.job is not None:
            result_of(_follow(self._client, self._client.jobs.get(started.job), progress))
        return self._client.evals.get(started.id)


@contextmanager
def _scratch() -> Iterator[LocalControl]:
    """Open a temporary store, on the disk of this machine's own store, for Versions that are being copied."""
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix="transfer-") as folder:
        home = Path(folder)
        own = replace(settings, home=home, database_url=f"sqlite:///{home / 'llmos.db'}")
        with LocalControl(own) as control:
            yield control


@contextmanager
def _pulled(client: "Client", name: str, progress: Progress) -> Iterator[tuple[LocalControl, str]]:
    """Copy a Version of the server into a temporary store. Yields the store and the reference of the copy."""
    version = client.models.get(name).version
    with _scratch() as scratch:
        location = f"llmos:{client.endpoint}/{version}"
        yield scratch, scratch.models.pull(location, None, progress, lambda _: None).version


def _reference(location: str) -> str:
    """llmos:https://HOST/NAME@sha256:… -> NAME@sha256:…"""
    return location.rpartition("/")[2]


def _run_job(client: "Client", result: type[D], progress: Progress, kind: str, **fields: Any) -> D:
    """Start a job on the server, follow it, and return its result."""
    return read_description(result, result_of(_follow(client, client.jobs.start(kind, **fields), progress)))


def _follow(client: "Client", job: JobDescription, progress: OnBytes | None) -> JobDescription:
    """Return a job when it has ended. Ctrl-C leaves it running and says so."""
    try:
        for state in client.jobs.follow(job.id):
            if progress is not None:
                show_progress(state, progress)
            job = state
    except KeyboardInterrupt:
        stderr().print(
            f"The job {job.id} continues on the server. To follow it: llmos job follow {job.id}."
            f" To cancel it: llmos job cancel {job.id}"
        )
        raise
    return job


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"The text {path} can't be read: {error.strerror}.", param="calibration") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{path} isn't text in UTF-8.", param="calibration") from None
