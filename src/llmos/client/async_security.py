"""Projects, keys, users, guardrails, the audit log, receipts, encryption and erasures, with awaited calls."""

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Unpack

from llmos.client import security_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.client.security_calls import KeySettings, Limits
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.core.schemas.guardrails import GuardrailPolicyDescription, GuardrailTrial, place_of
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.core.schemas.projects import ProjectDescription
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription
from llmos.core.schemas.users import RoleDescription, SignedOutDescription, SignInLinkDescription, UserDescription


class AsyncProjects(AsyncNoun):
    """The tenants of the installation."""

    async def create(self, name: str, *, description: str = "", limits: Limits | None = None) -> ProjectDescription:
        """Raises Conflict for a name that is or was taken."""
        return await self._client._request(calls.create_project(name, description, limits))

    async def list(self) -> builtins.list[ProjectDescription]:
        """Return the projects that the key may see."""
        return await self._client._request(calls.list_projects())

    async def get(self, name: str) -> ProjectDescription:
        return await self._client._request(calls.get_project(name))

    async def set_limits(self, name: str, **limits: Unpack[Limits]) -> ProjectDescription:
        """Replace the limits of a project, which all its keys share. One that isn't given is removed."""
        return await self._client._request(calls.limit_project(name, limits))

    async def set_retention(self, name: str, retention: str) -> ProjectDescription:
        """Set how long what is kept stays: default, forever, nothing, or days such as 30d. Deletes what is older."""
        return await self._client._request(calls.set_project_retention(name, retention))

    async def remove(self, name: str) -> None:
        """Revoke a project's keys and delete its files, batches and stored responses. The name can't be used again."""
        await self._client._request(calls.remove_project(name))


class AsyncEncryption(AsyncNoun):
    """The keys that encrypt what is kept."""

    async def status(self) -> EncryptionDescription:
        """Return where the keys are, and how much is encrypted."""
        return await self._client._request(calls.get_encryption())

    async def rotate(self, project: str | None = None) -> RotationDescription:
        """Replace the master key, or the key of a project. No data are written again."""
        return await self._client._request(calls.rotate_encryption(project))

    async def encrypt(self) -> EncryptionDescription:
        """Encrypt what an earlier version kept plain."""
        return await self._client._request(calls.encrypt_kept())


class AsyncErasures(AsyncNoun):
    """Erasures of persons' data."""

    async def forget(self, subject: str, *, project: str | None = None) -> ErasureCertificate:
        """Delete a person's responses and lines of batches in a project, or in all, and destroy the person's keys.

        `subject`: what the requests called the person. Returns a signed certificate of what was removed. Raises
        Conflict while a batch with data of the person runs.
        """
        return await self._client._request(calls.forget(subject, project))


class AsyncGuardrails(AsyncNoun):
    """Policies of guardrails, which screen prompts and answers."""

    async def set(self, name: str, document: Mapping[str, Any]) -> GuardrailPolicyDescription:
        """Store a new version of a policy, unless the last one is the same.

        `document`: {"input": […], "output": […], "both": […]}, lists of guardrails with their options.
        """
        return await self._client._request(calls.set_guardrail_policy(name, document))

    async def list(self) -> builtins.list[GuardrailPolicyDescription]:
        """Return the last version of each policy."""
        return await self._client._request(calls.list_guardrail_policies())

    async def get(self, name: str, *, version: int | None = None) -> GuardrailPolicyDescription:
        """Return a version of a policy, by default the last."""
        return await self._client._request(calls.get_guardrail_policy(name, version))

    async def history(self, name: str) -> builtins.list[GuardrailPolicyDescription]:
        """Return the versions of a policy, oldest first."""
        return await self._client._request(calls.guardrail_policy_history(name))

    async def try_out(
        self, name: str, text: str, *, side: str = "input", document: Mapping[str, Any] | None = None
    ) -> GuardrailTrial:
        """Return the verdict of a policy about a text. `document`: a policy that isn't stored, in its place."""
        return await self._client._request(calls.try_guardrail_policy(name, text, side, document))

    async def apply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription:
        """Make a policy screen the calls of a route or of a project, or all calls."""
        place = place_of(route, project, everywhere)
        return await self._client._request(calls.apply_guardrail_policy(name, place))

    async def unapply(
        self, name: str, *, route: str | None = None, project: str | None = None, everywhere: bool = False
    ) -> GuardrailPolicyDescription:
        """Undo apply(). Raises NotFound if the policy doesn't apply there."""
        place = place_of(route, project, everywhere)
        return await self._client._request(calls.unapply_guardrail_policy(name, place))

    async def remove(self, name: str) -> None:
        """Remove a policy. Raises Conflict while it applies somewhere. The name stays taken."""
        await self._client._request(calls.remove_guardrail_policy(name))


class AsyncUsers(AsyncNoun):
    """People who sign in with a browser."""

    async def create(
        self, name: str, *, role: str = "developer", project: str = "owner", password: str | None = None
    ) -> UserDescription:
        """Create a user. Without a password, the user can't sign in until there is one."""
        return await self._client._request(calls.create_user(name, role, project, password))

    async def list(self, project: str | None = None) -> builtins.list[UserDescription]:
        """Return the users of a project, or of all, by name."""
        return await self._client._request(calls.list_users(project))

    async def roles(self) -> builtins.list[RoleDescription]:
        """Return what each role may do, the least powerful first."""
        return await self._client._request(calls.list_roles())

    async def get(self, name: str) -> UserDescription:
        return await self._client._request(calls.get_user(name))

    async def set_password(self, name: str, password: str) -> UserDescription:
        """Replace a user's password, and end the user's sessions."""
        return await self._client._request(calls.set_user_password(name, password))

    async def set_role(self, name: str, role: str, *, project: str | None = None) -> UserDescription:
        """Change a user's role, and the project unless that is None."""
        return await self._client._request(calls.set_user_role(name, role, project))

    async def disable(self, name: str) -> UserDescription:
        """Keep a user out until `enable`, and end the user's sessions."""
        return await self._client._request(calls.disable_user(name))

    async def enable(self, name: str) -> UserDescription:
        """Let a disabled user sign in again."""
        return await self._client._request(calls.enable_user(name))

    async def sign_out(self, name: str) -> SignedOutDescription:
        """End all sessions of a user."""
        return await self._client._request(calls.sign_user_out(name))

    async def create_link(self, name: str) -> SignInLinkDescription:
        """Make a link that signs a user in, once, within five minutes."""
        return await self._client._request(calls.create_sign_in_link(name))

    async def remove(self, name: str) -> None:
        """Remove a user, and end the user's sessions. The name stays taken."""
        await self._client._request(calls.remove_user(name))


class AsyncAudit(AsyncNoun):
    """The audit log: who changed what, and who was refused."""

    async def list(
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
        return await self._client._request(calls.list_audit_entries(since, actor, action, before, limit))

    async def verify(self, *, checkpoints: Sequence[Mapping[str, Any]] = ()) -> AuditVerification:
        """Have the server verify the whole log. `checkpoints`: those that you kept, besides its own."""
        return await self._client._request(calls.verify_audit_log(checkpoints))

    async def checkpoint(self) -> CheckpointDescription:
        """Have the server sign a checkpoint of the newest entry. Keep it elsewhere."""
        return await self._client._request(calls.make_checkpoint())


class AsyncReceipts(AsyncNoun):
    """Signed receipts of answers."""

    async def get(self, id: str) -> ReceiptDescription:
        """Return the receipt of an answer, by its id or by that of its request. Keep `raw`: that is what was signed."""
        return await self._client._request(calls.get_receipt(id))

    async def signing_key(self) -> SigningKeyDescription:
        """Return the public key that verifies the server's receipts and checkpoints."""
        return await self._client._request(calls.get_signing_key())


class AsyncKeys(AsyncNoun):
    """API keys. The text of a key is in the result of `create` and `rotate`, and nowhere else."""

    async def create(self, **settings: Unpack[KeySettings]) -> NewKeyDescription:
        """Create a key. `settings` are those of `KeySettings`."""
        return await self._client._request(calls.create_key(settings))

    async def list(self, project: str | None = None) -> builtins.list[KeyDescription]:
        """Return the keys of a project, or of every project that the key may see, oldest first."""
        return await self._client._request(calls.list_keys(project))

    async def get(self, id: str) -> KeyDescription:
        return await self._client._request(calls.get_key(id))

    async def set_limits(self, id: str, **limits: Unpack[Limits]) -> KeyDescription:
        """Replace the limits of a key. One that isn't given is removed."""
        return await self._client._request(calls.limit_key(id, limits))

    async def rotate(self, id: str, *, overlap: timedelta | None = None) -> NewKeyDescription:
        """Give a key a new text. `overlap`: how long the old text works; by default 24 hours."""
        return await self._client._request(calls.rotate_key(id, overlap))

    async def revoke(self, id: str) -> KeyDescription:
        """End a key at once."""
        return await self._client._request(calls.revoke_key(id))
