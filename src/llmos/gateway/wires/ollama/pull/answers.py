"""The progress lines of POST /api/pull."""

from collections.abc import Sequence

import msgspec

from llmos.core.jobs.jobs import Step
from llmos.core.store.blobs import StoredFile
from llmos.models.transfer.pulling import VERIFYING


class PullProgress(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of a stream. The last line has the status `success`."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


def render_progress(step: Step, files: Sequence[StoredFile]) -> PullProgress:
    """Return the line for a step. Clients draw a progress bar per digest; an archive has that of its largest file."""
    if step.label.startswith(f"{VERIFYING} "):
        return PullProgress(status="verifying sha256 digest")
    if step.num_total is None or not files:
        return PullProgress(status=step.label)
    digests = {file.name: file.digest for file in files}
    digest = digests.get(step.label, max(files, key=lambda file: file.size).digest)
    short = digest.removeprefix("sha256:")[:12]
    return PullProgress(status=f"pulling {short}", digest=digest, total=step.num_total, completed=step.num_done)
