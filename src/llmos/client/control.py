"""The control plane of a server: jobs, policies and signatures, with blocking calls."""

import builtins
from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING, Any

from llmos.client import control_calls as calls
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.signatures import SignatureDescription

if TYPE_CHECKING:
    from llmos.client.blocking import Client


class Noun:
    """The calls about one noun."""

    def __init__(self, client: "Client") -> None:
        self._client = client


class Jobs(Noun):
    """Long work on the server. It continues whether or not a client follows it."""

    def start(self, kind: str, **fields: Any) -> JobDescription:
        """Start a job and return it: pull, push, quantize, prune, card, encrypt, verify or replay.

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
