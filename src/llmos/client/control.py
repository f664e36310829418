"""The control plane of a server, noun by noun, with blocking calls."""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Any, Unpack

from llmos.client import control_calls as calls
from llmos.client.answers import DeploymentInfo, RouteInfo
from llmos.client.control_calls import DeploymentSettings, KeySettings, Limits, RolloutSettings, RouteSettings
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.budgets import BudgetDescription, BudgetFields
from llmos.core.schemas.deployments import DeploymentEventDescription
from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailTrial, place_of
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.prices import PriceBookDescription, PriceExample
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteEvidence, RouteMove
from llmos.core.schemas.signatures import SignatureDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription
from llmos.core.schemas.usage import UsageReport
from llmos.core.schemas.users import RoleDescription, SignedOutDescription, SignInLinkDescription, UserDescription

if TYPE_CHECKING:
    from llmos.client.blocking import Client


class Noun:
    """The calls about one noun."""

    def __init__(self, client: "Client") -> None:
        self._client = client


class Jobs(Noun):
    """Long work on the server. It continues whether or not a client follows it."""

    def start(self, kind: str, **fields: Any) -> JobDescription:
        """Start a job and return it: pull, quantize, prune, card, encrypt, verify or replay.

        `fields`: those of its kind. Raises the error of a request that can't succeed, such as ModelNotFound.
        """
        return self._client._request(calls.start_job(kind, fields))

    def list(self, *, kind: str | None = None, state: str | None = None) -> builtins.list[JobDescription]:
        """Return the newest jobs, newest first."""
        return self._client._request(calls.list_jobs(kind, state))

    def get(self, id: str) -> JobDescription:
        return self._client._request(calls.get_job(id))

    def follow(self, id: str, *, interval_seconds: float = 0.25) -> Iterator[JobDescription]:
        """Yield the job now and after every change, until it has ended. It is asked for in this interval."""
        seen = None
        while seen is None or seen.ended_at is None:
            job = self.get(id)
            if job != seen:
                seen = job
                yield job
            if job.ended_at is None:
                sleep(interval_seconds)

    def cancel(self, id: str) -> JobDescription:
        """Raises Conflict if the job has already ended."""
        return self._client._request(calls.cancel_job(id))


class Policies(Noun):
    """The project's requirements for the Versions that it runs."""

    def list(self) -> builtins.list[PolicyDescription]:
        return self._client._request(calls.list_policies())

    def set(self, name: str, value: bool | float | str) -> PolicyDescription:
        return self._client._request(calls.set_policy(name, value))

    def unset(self, name: str) -> None:
        self._client._request(calls.unset_policy(name))


class Signatures(Noun):
    """Signatures of Versions."""

    def list(self, name: str) -> builtins.list[SignatureDescription]:
        return self._client._request(calls.list_signatures(name))

    def add(self, name: str, signature: str) -> builtins.list[SignatureDescription]:
        """Store a signature, a sigstore bundle in JSON, and return all signatures of the Version."""
        return self._client._request(calls.add_signature(name, signature))


class Routes(Noun):
    """The names that callers ask for."""

    def list(self) -> builtins.list[RouteInfo]:
        return self._client._request(calls.list_routes())

    def get(self, name: str) -> RouteInfo:
        """Raises NotFound, with the nearest names, for an unknown Route."""
        return self._client._request(calls.get_route(name))

    def set(self, name: str, target: str | Mapping[str, float], **settings: Unpack[RouteSettings]) -> RouteInfo:
        """Create or replace a Route with one target, or with several and the percent of the calls that each gets.

        A target is a model on the server, or remote:PROVIDER/MODEL; `settings` are those of `RouteSettings`.
        Raises ModelNotFound for an unknown target.
        """
        return self._client._request(calls.set_route(name, target, settings))

    def set_weights(self, name: str, percent_of: Mapping[str, float], *, reason: str) -> RouteInfo:
        """Replace the targets of a Route and their shares, all at once; its other settings stay."""
        return self._client._request(calls.set_weights(name, percent_of, reason))

    def history(self, name: str) -> Sequence[RouteMove]:
        """Return the Route's changes, newest first: when, who, why, before and after."""
        return self._client._request(calls.route_history(name))

    def evidence(self, name: str) -> RouteEvidence:
        """Return the outcomes of the Route's calls by target, as far as the server remembers."""
        return self._client._request(calls.route_evidence(name))

    def remove(self, name: str) -> None:
        """Raises NotFound, with the nearest names, for an unknown Route."""
        self._client._request(calls.remove_route(name))


class Providers(Noun):
    """Services that run models elsewhere."""

    def list(self) -> Sequence[ProviderDescription]:
        return self._client._request(calls.list_providers())

    def add(self, name: str, *, base_url: str, kind: str = "openai", key: str | None = None) -> ProviderDescription:
        """Add or change a provider; remote:NAME/MODEL is then a target of Routes. `kind`: openai or anthropic.

        The key is stored encrypted and never returned.
        """
        return self._client._request(calls.add_provider(name, kind, base_url, key))

    def models(self, name: str) -> Sequence[str]:
        """Return the models of the provider. Raises an error if it can't be reached or rejects the key."""
        return self._client._request(calls.provider_models(name))

    def remove(self, name: str) -> None:
        """Raises Conflict while a Route leads to it."""
        self._client._request(calls.remove_provider(name))


class Projects(Noun):
    """The tenants of the installation."""

    def create(self, name: str, *, description: str = "", limits: Limits | None = None) -> ProjectDescription:
        """Raises Conflict for a name that is or was taken."""
        return self._client._request(calls.create_project(name, description, limits))

    def list(self) -> builtins.list[ProjectDescription]:
        """Return the projects that the key may see."""
        return self._client._request(calls.list_projects())

    def get(self, name: str) -> ProjectDescription:
        return self._client._request(calls.get_project(name))

    def set_limits(self, name: str, **limits: Unpack[Limits]) -> ProjectDescription:
        """Replace the limits of a project, which all its keys share. One that isn't given is removed."""
        return self._client._request(calls.limit_project(name, limits))

    def set_retention(self, name: str, retention: str) -> ProjectDescription:
        """Set how long what is kept stays: default, forever, nothing, or days such as 30d. Deletes what is older."""
        return self._client._request(calls.set_project_retention(name, retention))

    def remove(self, name: str) -> None:
        """Revoke a project's keys and delete its files, batches and stored responses. The name stays taken."""
        self._client._request(calls.remove_project(name))


class Encryption(Noun):
    """The keys that encrypt what is kept."""

    def status(self) -> EncryptionDescription:
        """Return where the keys are, and how much is encrypted."""
        return self._client._request(calls.get_encryption())

    def rotate(self, project: str | None = None) -> RotationDescription:
        """Replace the master key, or the key of a project. No data are written again."""
        return self._client._request(calls.rotate_encryption(project))

    def encrypt(self) -> EncryptionDescription:
        """Encrypt what an earlier version kept plain."""
        return self._client._request(calls.encrypt_kept())


class Erasures(Noun):
    """Erasures of persons' data."""

    def forget(self, subject: str, *, project: str | None = None) -> ErasureCertificate:
        """Delete a person's responses and lines of batches in a project, or in all, and destroy the person's keys.

        `subject`: what the requests called the person. Returns a signed certificate of what was removed. Raises
        Conflict while a batch with data of the person runs.
        """
        return self._client._request(calls.forget(subject, project))


class Guardrails(Noun):
    """Policies of guardrails, which screen prompts and answers."""

    def set(self, name: str, document: Mapping[str, Any]) -> GuardrailPolicyDescription:
        """Store a new version of a policy, unless the last one is the same.

        `document`: {"input": […], "output": […], "both": […]}, lists of guardrails with their options.
        """
        return self._client._request(calls.set_guardrail_policy(name, document))

    def list(self) -> builtins.list[GuardrailPolicyDescription]:
        """Return the last version of each policy."""
        return self._client._request(calls.list_guardrail_policies())

    def get(self, name: str, *, version: int | None = None) -> GuardrailPolicyDescription:
        """Return a version of a policy, by default the last."""
        return self._client._request(calls.get_guardrail_policy(name, version))

    def history(self, name: str) -> builtins.list[GuardrailPolicyDescription]:
        """Return the versions of a policy, oldest first."""
        return self._client._request(calls.guardrail_policy_history(name))

    def try_out(
        self, name: str, text: str, *, side: str = "input", document: Mapping[str, Any] | None = None
    ) -> GuardrailTrial:
        """Return the verdict of a policy about a text. `document`: a policy that isn't stored, in its place."""
        return self._client._request(calls.try_guardrail_policy(name, text, side, document))

    def apply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription:
        """Make a policy screen the calls of a route or of a project, or all calls."""
        place = place_of(route, project, everywhere)
        return self._client._request(calls.apply_guardrail_policy(name, place))

    def unapply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription:
        """Undo apply(). Raises NotFound if the policy doesn't apply there."""
        place = place_of(route, project, everywhere)
        return self._client._request(calls.unapply_guardrail_policy(name, place))

    def remove(self, name: str) -> None:
        """Remove a policy. Raises Conflict while it applies somewhere. The name stays taken."""
        self._client._request(calls.remove_guardrail_policy(name))


class Users(Noun):
    """People who sign in with a browser."""

    def create(
        self, name: str, *, role: str = "developer", project: str = "owner", password: str | None = None
    ) -> UserDescription:
        """Create a user. Without a password, the user can't sign in until there is one."""
        return self._client._request(calls.create_user(name, role, project, password))

    def list(self, project: str | None = None) -> builtins.list[UserDescription]:
        """Return the users of a project, or of all, by name."""
        return self._client._request(calls.list_users(project))

    def roles(self) -> builtins.list[RoleDescription]:
        """Return what each role may do, the least powerful first."""
        return self._client._request(calls.list_roles())

    def get(self, name: str) -> UserDescription:
        return self._client._request(calls.get_user(name))

    def set_password(self, name: str, password: str) -> UserDescription:
        """Replace a user's password, and end the user's sessions."""
        return self._client._request(calls.set_user_password(name, password))

    def set_role(self, name: str, role: str, *, project: str | None = None) -> UserDescription:
        """Change a user's role, and the project unless that is None."""
        return self._client._request(calls.set_user_role(name, role, project))

    def disable(self, name: str) -> UserDescription:
        """Keep a user out until `enable`, and end the user's sessions."""
        return self._client._request(calls.disable_user(name))

    def enable(self, name: str) -> UserDescription:
        """Let a disabled user sign in again."""
        return self._client._request(calls.enable_user(name))

    def sign_out(self, name: str) -> SignedOutDescription:
        """End all sessions of a user."""
        return self._client._request(calls.sign_user_out(name))

    def create_link(self, name: str) -> SignInLinkDescription:
        """Make a link that signs a user in, once, within five minutes."""
        return self._client._request(calls.create_sign_in_link(name))

    def remove(self, name: str) -> None:
        """Remove a user, and end the user's sessions. The name stays taken."""
        self._client._request(calls.remove_user(name))


class Audit(Noun):
    """The audit log: who changed what, and who was refused."""

    def list(
        self,
        *,
        since: datetime | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> builtins.list[AuditEntryDescription]:
        """Return the newest entries first.

        `actor`: the id of a key, or a user of the server's machine. `action`: one, such as key.revoke, or a noun: key.
        `before`: the number of an entry: only older ones.
        """
        return self._client._request(calls.list_audit_entries(since, actor, action, before, limit))

    def verify(self, *, checkpoints: Sequence[Mapping[str, Any]] = ()) -> AuditVerification:
        """Have the server verify the whole log. `checkpoints`: those that you kept, besides its own."""
        return self._client._request(calls.verify_audit_log(checkpoints))

    def checkpoint(self) -> CheckpointDescription:
        """Have the server sign a checkpoint of the newest entry. Keep it elsewhere."""
        return self._client._request(calls.make_checkpoint())


class Receipts(Noun):
    """Signed receipts of answers."""

    def get(self, id: str) -> ReceiptDescription:
        """Return the receipt of an answer, by its id or by that of its request. Keep `raw`: that is what was signed."""
        return self._client._request(calls.get_receipt(id))

    def signing_key(self) -> SigningKeyDescription:
        """Return the public key that verifies the server's receipts and checkpoints."""
        return self._client._request(calls.get_signing_key())


class Keys(Noun):
    """API keys. The text of a key is in the result of `create` and `rotate`, and nowhere else."""

    def create(self, **settings: Unpack[KeySettings]) -> NewKeyDescription:
        """Create a key. `settings` are those of `KeySettings`."""
        return self._client._request(calls.create_key(settings))

    def list(self, project: str | None = None) -> builtins.list[KeyDescription]:
        """Return the keys of a project, or of every project that the key may see, oldest first."""
        return self._client._request(calls.list_keys(project))

    def get(self, id: str) -> KeyDescription:
        return self._client._request(calls.get_key(id))

    def set_limits(self, id: str, **limits: Unpack[Limits]) -> KeyDescription:
        """Replace the limits of a key. One that isn't given is removed."""
        return self._client._request(calls.limit_key(id, limits))

    def rotate(self, id: str, *, overlap: timedelta | None = None) -> NewKeyDescription:
        """Give a key a new text. `overlap`: how long the old text works; by default 24 hours."""
        return self._client._request(calls.rotate_key(id, overlap))

    def revoke(self, id: str) -> KeyDescription:
        """End a key at once."""
        return self._client._request(calls.revoke_key(id))


class Rollouts(Noun):
    """Versions that take over Routes step by step."""

    def promote(self, version: str, route: str, **settings: Unpack[RolloutSettings]) -> RolloutDescription:
        """Start to replace the targets of a Route by a Version, in steps. Returns at once; the server carries it out.

        `settings` are those of `RolloutSettings`. Raises Conflict if the Route has a running Rollout, or if the
        Version's card fails the project's limits.
        """
        return self._client._request(calls.promote(version, route, settings))

    def list(self, route: str | None = None) -> Sequence[RolloutDescription]:
        """Return the Rollouts, newest first."""
        return self._client._request(calls.list_rollouts(route))

    def get(self, id: int) -> RolloutDescription:
        return self._client._request(calls.get_rollout(id))

    def history(self, id: int) -> Sequence[RolloutEventDescription]:
        """Return the events of a Rollout, oldest first, with the numbers that decided."""
        return self._client._request(calls.rollout_history(id))

    def roll_back(self, route: str) -> RolloutDescription:
        """Undo the running or last Rollout of a Route at once. Raises Conflict if there is none to undo."""
        return self._client._request(calls.roll_back(route))


class Deployments(Noun):
    """Versions that are deployed or running. `name` is a Version, a Route or a model."""

    def list(self) -> builtins.list[DeploymentInfo]:
        """Return the Versions that are deployed, and the others that the server runs."""
        return self._client._request(calls.list_deployments())

    def get(self, name: str) -> DeploymentInfo:
        return self._client._request(calls.get_deployment(name))

    def deploy(self, name: str, **settings: Unpack[DeploymentSettings]) -> DeploymentInfo:
        """Keep a Version running on the server. Replaces the settings of an earlier deployment.

        `settings` are those of `DeploymentSettings`. Raises BadRequest for settings that contradict each other, and
        Conflict if the Version's card fails the project's limits.
        """
        return self._client._request(calls.deploy(name, settings))

    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentInfo:
        """Change the number of replicas. Raises NotFound if the Version isn't deployed."""
        limits = {"replicas": replicas, "min_replicas": min_replicas, "max_replicas": max_replicas}
        return self._client._request(calls.change_deployment(name, "scale", limits))

    def stop(self, name: str) -> DeploymentInfo:
        """Unload a Version after its running requests finish; the next request loads it again.

        Returns at once if it is deployed, otherwise when its process has ended. Raises NotFound if it doesn't run, and
        Conflict if it is deployed with keep_warm.
        """
        return self._client._request(calls.change_deployment(name, "sleep"))

    def wake(self, name: str) -> DeploymentInfo:
        """Load a Version that is asleep. Raises NotFound if it isn't deployed."""
        return self._client._request(calls.change_deployment(name, "wake"))

    def remove(self, name: str) -> None:
        """Undeploy a Version, and stop it after its running requests finish."""
        self._client._request(calls.remove_deployment(name))

    def history(self, name: str) -> builtins.list[DeploymentEventDescription]:
        """Return the events of a deployment, oldest first."""
        return self._client._request(calls.deployment_history(name))


class Usage(Noun):
    """The consumption."""

    def report(self, by: str, *, start: datetime | None = None, end: datetime | None = None) -> UsageReport:
        """Return the usage by project, key, user, route, model, app or day.

        start, end: the time, widened to whole hours; by default the last thirty days.
        """
        return self._client._request(calls.get_usage(by, start, end))


class Budgets(Noun):
    """Budgets: what keys, users, projects and the installation may consume."""

    def set(self, name: str, **fields: Unpack[BudgetFields]) -> BudgetDescription:
        """Add a budget, or change it: `set("team", project="acme", unit="money", limit="50", currency="EUR")`."""
        return self._client._request(calls.set_budget(name, fields))

    def list(self) -> builtins.list[BudgetDescription]:
        """Return the budgets by name."""
        return self._client._request(calls.list_budgets())

    def get(self, name: str, *, user: str | None = None) -> BudgetDescription:
        """Return a budget. user: of one for each user, only what this one has used."""
        return self._client._request(calls.get_budget(name, user))

    def remove(self, name: str) -> None:
        """Remove a budget. What was used stays in the ledger."""
        self._client._request(calls.remove_budget(name))


class Prices(Noun):
    """The prices of calls."""

    def set(self, document: Mapping[str, Any]) -> PriceBookDescription:
        """Add a version of all prices: an object with currency, prices and from, a time; by default now."""
        return self._client._request(calls.set_prices(document))

    def list(self) -> builtins.list[PriceBookDescription]:
        """Return the versions, newest first."""
        return self._client._request(calls.list_prices())

    def get(self, version: int) -> PriceBookDescription:
        return self._client._request(calls.get_prices(version))

    def try_out(self, version: str = "", *, route: str = "", **numbers: int) -> PriceExample:
        """Return what a call would cost. numbers: calls, input, cached_input, output, embedding, rated (tokens), and
        replica_micros."""
        return self._client._request(calls.try_prices(version, route, numbers))
