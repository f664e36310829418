"""Files that are sent to the server and the job that works on them, with blocking calls."""

import builtins
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from llmos.client import upload_calls as calls
from llmos.client.call import Call
from llmos.client.control import Noun
from llmos.client.upload_calls import LocalFile, OnBytes
from llmos.core.schemas.jobs import JobDescription


class Uploading(Noun):
    """The calls about a noun that is made of files."""

    _uploads: ClassVar[str]
    """The path of its uploads."""

    def upload(self, path: Path | str, on_bytes: OnBytes | None = None) -> builtins.list[dict[str, str]]:
        """Send a file, or the files of a folder, and return their names and digests for a job.

        Sends only what the server doesn't have: after a break, call it again.
        """
        return self._send(calls.local_files(path), on_bytes)

    def _send(self, files: Sequence[LocalFile], on_bytes: OnBytes | None) -> builtins.list[dict[str, str]]:
        sent = []
        for file in files:
            digest = file.digest()
            self._send_one(file, digest, on_bytes)
            sent.append({"name": file.name, "digest": digest})
        return sent

    def _send_one(self, file: LocalFile, digest: str, on_bytes: OnBytes | None) -> None:
        size, first = file.size, (self._client._request(calls.get_upload(self._uploads, digest))).received_bytes
        while first < size or not size:
            piece = calls.put_piece(self._uploads, digest, file.piece(first), first, size)
            first = (self._client._request(piece)).received_bytes
            if on_bytes is not None:
                on_bytes(file.name, first, size)
            if not size:
                break

    def _follow(self, call: Call[JobDescription], on_progress: OnBytes | None) -> JobDescription:
        """Return the job that a call starts, when it has ended."""
        started = job = self._client._request(call)
        for job in self._client.jobs.follow(started.id):
            if on_progress is not None and job.progress:
                on_progress(job.progress[-1].label, job.progress[-1].num_done, job.progress[-1].num_total)
        return job
