"""Models with their aliases and labels, cards, policies and signatures in this machine's database."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmos.cli.control.local_names import LocalNames
from llmos.cli.control.ports.models import MakeRequest, OnNotice
from llmos.cli.output import stderr
from llmos.core.errors import BadRequest, LLMOSError, NotFound, PermissionDenied, Unauthenticated
from llmos.core.progress import Progress
from llmos.core.schemas.cards import Card, CardDescription
from llmos.core.schemas.encryption import EncryptedModelsDescription
from llmos.core.schemas.models import (
    CatalogEntryDescription,
    MadeDescription,
    ModelDescription,
    RemovalDescription,
    VersionDetails,
)
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.signatures import KeyDescription, SignedDescription
from llmos.core.schemas.transfers import ExportDescription, PushDescription
from llmos.core.who import this_user
from llmos.models import descriptions as describe

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.models.policies import Policies
    from llmos.models.registry import Registry
    from llmos.models.signing.signing import Signed, Signing
    from llmos.models.versions.versions import Version


class LocalModels(LocalNames):
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @property
    def names(self) -> "Registry":
        return self._control.registry

    def remove_alias(self, name: str, alias: str) -> None:
        """Raises Conflict if a deployment or a Route needs it."""
        from llmos.deployments.removing import remove

        remove(self._control.registry, f"{name}:{alias}", actor=this_user())

    def list(self, *, tags: Sequence[str] = ()) -> Sequence[ModelDescription]:
        from llmos.core.versioning.labels import has_tags

        registry = self._control.registry
        labels = registry.labels.all()
        versions = [each for each in registry.list() if has_tags(labels, (each.model, each.number), tags)]
        return [describe.describe_version(each, labels) for each in versions]

    def get(self, name: str) -> ModelDescription:
        from llmos.deployments.descriptions import describe_remote_model

        served = self._control.route_table.resolve_primary(name)
        if served.number is None:
            return describe_remote_model(name, served)
        version = self._control.route_table.resolve_local(name)
        return describe.describe_version(version, self._control.registry.labels.all(), name=name)

    def details(self, name: str) -> VersionDetails:
        from llmos.deployments.descriptions import describe_remote_model

        served = self._control.route_table.resolve_primary(name)
        if served.number is None:
            return describe_remote_model(name, served)
        version = self._control.route_table.resolve_local(name)
        return describe.describe_details(self._control.registry, version, name=name, has_paths=True)

    def catalog(self) -> Sequence[CatalogEntryDescription]:
        names = self._control.registry.names()
        return [describe.describe_entry(entry, names) for entry in self._control.registry.catalog]

    def remove(self, name: str) -> RemovalDescription:
        from llmos.deployments.removing import remove

        return describe.describe_removal(remove(self._control.registry, name, actor=this_user()))

    def stop_removed(self, versions: Sequence[str], on_notice: OnNotice) -> None:
        """Raises nothing: the Versions are removed, whatever becomes of their replicas."""
        if not versions or not self._control.is_served:
            return
        from llmos.client import Client

        try:
            # A server with another owner has another database.
            with suppress(Unauthenticated, PermissionDenied), Client(max_retries=0) as client:
                running = {each.version for each in client.deployments.list() if each.state != "stopped"}
                for version in filter(running.__contains__, versions):
                    on_notice(f"The server still runs {version}: waiting until its running requests finish …")
                    with suppress(NotFound):  # It was stopped meanwhile.
                        client.deployments.remove(version)
        except LLMOSError as error:
            on_notice(
                f"The server at {self._control.server_url} could not be asked to stop {', '.join(versions)}:"
                f" {error.message}"
            )

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
        from llmos.models.transfer.transfers import (
            CATALOG_KNOWS_TASKS,
            CATALOG_NEEDS_NO_IGNORE,
            Transfers,
            is_location,
        )

        registry = self._registry(encrypts=encrypts)
        if is_location(location):
            transfers = Transfers(registry)
            return self._describe(transfers.pull(location, name, progress, ignored_keys=ignored_keys, task=task))
        if name is not None:
            raise BadRequest("A model of the catalog has its own name: leave out --name.", param="name")
        if ignored_keys:
            raise BadRequest(CATALOG_NEEDS_NO_IGNORE, param="ignore")
        if task is not None:
            raise BadRequest(CATALOG_KNOWS_TASKS, param="task")
        return self._describe(Transfers(registry).pull_from_catalog(location, progress, on_notice))

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
        from llmos.models.transfer.transfers import Transfers

        transfers = Transfers(self._registry(encrypts=encrypts))
        return self._describe(
            transfers.import_path(path, name, progress, license=license, ignored_keys=ignored_keys, task=task)
        )

    def merge_adapter(self, path: Path, model: str, name: str, progress: Progress) -> ModelDescription:
        from llmos.models.transfer.transfers import Transfers

        return self._describe(Transfers(self._control.registry).merge_adapter(path, model, name, progress))

    def make(self, request: MakeRequest, progress: Progress) -> MadeDescription:
        from llmos.models.deriving import derive, recipe_of

        text = request.calibration
        recipe = recipe_of(request.kind, request.scheme, request.options, text)
        registry = self._control.registry
        derived = derive(registry, request.model, recipe, name=request.name, text=text, progress=progress)
        described = describe.describe_derived(registry, derived, None)
        return _with_card(registry, described, progress) if request.card else described

    def push(
        self, name: str, target: str, progress: Progress, *, base: str | None = None, decrypts: bool = False
    ) -> PushDescription:
        from llmos.models.transfer.transfers import Transfers

        pushed = Transfers(self._control.registry).push(name, target, progress, base=base, decrypts=decrypts)
        return PushDescription(location=pushed.location, sent_bytes=pushed.num_bytes)

    def export(self, name: str, path: Path | None, progress: Progress, *, decrypts: bool = False) -> ExportDescription:
        from llmos.models.transfer.transfers import Transfers

        written = Transfers(self._control.registry).export(name, path, progress, decrypts=decrypts)
        return ExportDescription(path=str(written), size_bytes=written.stat().st_size)

    def encrypt(self, name: str | None, progress: Progress) -> EncryptedModelsDescription:
        from llmos.models.encrypting import encrypt_models

        return encrypt_models(self._control.registry, name, progress)

    def _registry(self, *, encrypts: bool) -> "Registry":
        registry = self._control.registry
        return registry.encrypting() if encrypts else registry

    def _describe(self, version: "Version") -> ModelDescription:
        return describe.describe_version(version, self._control.registry.labels.all())


def _with_card(registry: "Registry", made: MadeDescription, progress: Progress) -> MadeDescription:
    """Add the Version's card, measured now if there is none."""
    from llmos.models.cards.cards import Cards
    from llmos.models.cards.measure import make_card

    version = registry.resolve(made.version)
    try:
        card = Cards(registry.database).get(version) or make_card(registry, version, progress)
    except LLMOSError as error:  # The Version is made, whatever becomes of its card.
        later = f"Its card couldn't be measured: {error.message} Try again: llmos card {made.version} --measure"
        return msgspec.structs.replace(made, remark=" ".join(filter(None, [made.remark, later])))
    except KeyboardInterrupt:
        stderr().print(f"{made.version} is made. To measure its card: llmos card {made.version} --measure")
        raise
    return msgspec.structs.replace(made, card=card)


class LocalCards:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def get(self, name: str) -> CardDescription:
        return self._describe(self._get(name))

    def measure(self, name: str, progress: Progress) -> CardDescription:
        from llmos.models.cards.measure import make_card

        version = self._control.route_table.resolve_local(name)
        return self._describe(make_card(self._control.registry, version, progress))

    def related(self, name: str) -> Sequence[CardDescription]:
        from llmos.models.cards.page import siblings

        return [self._describe(card) for card in siblings(self._control.registry, [self._get(name)])]

    def _get(self, name: str) -> Card:
        from llmos.models.cards.cards import Cards

        version = self._control.route_table.resolve_local(name)
        card = Cards(self._control.registry.database).get(version)
        if card is None:
            raise NotFound(
                f"{version.ref} has no card yet. Measure it: llmos card {version.ref} --measure", param="model"
            )
        return card

    def _describe(self, card: Card) -> CardDescription:
        from llmos.models.cards.limits import verdicts
        from llmos.models.policies import Policies

        return describe.describe_card(card, verdicts(card, Policies(self._control.registry.database).all()))


class LocalPolicies:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self) -> Sequence[PolicyDescription]:
        return [describe.describe_policy(policy) for policy in self._policies.list()]

    def set(self, name: str, value: str) -> PolicyDescription:
        return describe.describe_policy(self._policies.set(name, value, actor=this_user()))

    def unset(self, name: str) -> None:
        self._policies.unset(name)

    @property
    def _policies(self) -> "Policies":
        from llmos.models.policies import Policies

        return Policies(self._control.registry.database)


class LocalSigning:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def sign(self, name: str, key: Path, progress: Progress) -> SignedDescription:
        signed = self._signing.sign(name, key, lambda num_done: progress("reading", num_done, None))
        return _describe_signed(signed)

    def verify(self, name: str, key: Path | None, progress: Progress) -> SignedDescription:
        verified = self._signing.verify(name, key, lambda num_done: progress("reading", num_done, None))
        return _describe_signed(verified)

    @property
    def _signing(self) -> "Signing":
        from llmos.models.signing.signing import Signing
        from llmos.models.signing.trusted_keys import TrustedKeys

        return Signing(self._control.registry, TrustedKeys(self._control.settings.trusted_keys_path))


def _describe_signed(signed: "Signed") -> SignedDescription:
    key = KeyDescription(name=signed.key.name, fingerprint=signed.key.fingerprint)
    return SignedDescription(
        version=signed.version.ref,
        digest=signed.version.digest,
        key=key,
        covers_statement=signed.covers_statement,
    )
