"""The control plane of a server: jobs, policies and signatures, with awaited calls."""

import builtins
from asyncio import sleep
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from llmos.client import control_calls as calls
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.signatures import SignatureDescription

if TYPE_CHECKING:
    from llmos.client.asynchronous import AsyncClient


class AsyncNoun:
    """The calls about one noun."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client


class AsyncJobs(AsyncNoun):
    """Long work on the server. It continues whether or not a client follows it."""

    async def start(self, kind: str, **fields: Any) -> JobDescription:
        """Start a job and return it: pull, push, quantize, prune, card, encrypt, verify or replay.

        `fields`: those of its kind. Raises the error of a request that can't succeed, such as ModelNotFound.
        """
        return await self._client._request(calls.start_job(kind, fields))

    async def list(self, *, kind: str | None = None, state: str | None = None) -> builtins.list[JobDescription]:
        """Return the newest jobs, newest first."""
        return await self._client._request(calls.list_jobs(kind, state))

    async def get(self, id: str) -> JobDescription:
        return await self._client._request(calls.get_job(id))

    async def follow(self, id: str, *, interval_seconds: float = 0.25) -> AsyncIterator[JobDescription]:
        """Yield the job now and after every change, until it has ended. It is asked for in this interval."""
        seen = None
        while seen is None or seen.ended_at is None:
            job = await self.get(id)
            if job != seen:
                seen = job
                yield job
            if job.ended_at is None:
                await sleep(interval_seconds)

    async def cancel(self, id: str) -> JobDescription:
        """Raises Conflict if the job has already ended."""
        return await self._client._request(calls.cancel_job(id))


class AsyncPolicies(AsyncNoun):
    """The project's requirements for the Versions that it runs."""

    async def list(self) -> builtins.list[PolicyDescription]:
        return await self._client._request(calls.list_policies())

    async def set(self, name: str, value: bool | float | str) -> PolicyDescription:
        return await self._client._request(calls.set_policy(name, value))

    async def unset(self, name: str) -> None:
        await self._client._request(calls.unset_policy(name))


class AsyncSignatures(AsyncNoun):
    """Signatures of Versions."""

    async def list(self, name: str) -> builtins.list[SignatureDescription]:
        return await self._client._request(calls.list_signatures(name))

    async def add(self, name: str, signature: str) -> builtins.list[SignatureDescription]:
        """Store a signature, a sigstore bundle in JSON, and return all signatures of the Version."""
        return await self._client._request(calls.add_signature(name, signature))
