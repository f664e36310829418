"""The messages between the head of a cluster and its nodes.

    a new node      AskAuthority, Join                              -> Authority, Joined or Refused
    a renewal       Renew                                           -> Renewed or Refused
    agent           Register, then events of its workers            -> Registered or Refused, then orders
    a replica       Attach, then the frames of a worker             -> Attached, then commands for the worker
    a stage         AttachStage, then the frames of a stage         -> Attached, then its frames; between two agents
    a file          FetchBlob                                       -> BlobSize, then BlobChunks; or Refused

The first message of a connection says which of these it is.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from llmos.core.errors import LLMOSError, error_of_code

MAX_MESSAGE_BYTES = 4 << 20
"""Longer messages are refused: most come from peers that are not known yet."""

BLOB_CHUNK_BYTES = 1 << 20

STARTED_BY, RAY = "started-by", "ray"
"""The label of nodes whose agents were started through Ray, and its value."""

WorkerId: TypeAlias = str


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that the head and a node must have in common, so that a replica computes the same on every node."""

    llmos: str
    python: str
    """Such as 3.11."""
    kernels: int
    """The layout of packed weights, and how the kernels round."""


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The hardware of a node; see Hardware in core/hardware.py."""

    cpu: str = ""
    features: Sequence[str] = ()
    num_cores: int = 1
    memory_bytes: int = 0
    available_bytes: int = 0


class File(msgspec.Struct, frozen=True):
    """A file of a model."""

    name: str
    digest: str
    size: int


class BlobSource(msgspec.Struct, frozen=True):
    """A node that has a file."""

    node: str
    host: str
    port: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    code: str
    """The code of an error class in core/errors.py."""
    message: str

    def error(self) -> LLMOSError:
        return error_of_code(self.code, self.message)


# To the head.


class AskAuthority(msgspec.Struct, frozen=True, tag="ask_authority"):
    """Send the certificate of the cluster's authority. Its digest is in the token."""


class Join(msgspec.Struct, frozen=True, kw_only=True, tag="join"):
    token_id: str
    secret: str
    name: str
    request: str
    """A certificate signing request, PEM."""
    versions: Versions
    time: float
    """Seconds since 1970, by the node's clock."""


class Register(msgspec.Struct, frozen=True, kw_only=True, tag="register"):
    versions: Versions
    facts: NodeFacts
    labels: dict[str, str]
    blobs_port: int
    """The port at which the agent sends files to other nodes."""
    digests: Sequence[str]
    """The files that the node has."""
    time: float


class Attach(msgspec.Struct, frozen=True, tag="attach"):
    """The frames of this worker follow."""

    worker: WorkerId


class AttachStage(msgspec.Struct, frozen=True, tag="attach_stage"):
    """To the agent of another node: the frames between the home of a split model and this worker, a stage, follow."""

    worker: WorkerId


class FetchBlob(msgspec.Struct, frozen=True, tag="fetch_blob"):
    digest: str
    offset: int
    """Bytes that have arrived already."""


class Fetching(msgspec.Struct, frozen=True, tag="fetching"):
    """The progress of the files of a worker that is to be started."""

    worker: WorkerId
    num_done: int
    num_total: int


class WorkerStarted(msgspec.Struct, frozen=True, kw_only=True, tag="worker_started"):
    worker: WorkerId
    pid: int
    paths: dict[str, str]
    """File name -> path on the node."""
    packed_folder: str | None
    num_fetched_bytes: int


class WorkerRefused(msgspec.Struct, frozen=True, tag="worker_refused"):
    """The worker can't be started."""

    worker: WorkerId
    code: str
    message: str

    def error(self) -> LLMOSError:
        return error_of_code(self.code, self.message)


class WorkerEnded(msgspec.Struct, frozen=True, tag="worker_ended"):
    worker: WorkerId
    status: int
    last_words: str


class WorkerActivity(msgspec.Struct, frozen=True, tag="worker_activity"):
    worker: WorkerId
    has_computed: bool


class Renew(msgspec.Struct, frozen=True, tag="renew"):
    """The node's certificate ends soon; make another for the same key."""

    request: str
    """A certificate signing request, PEM."""


class Facts(msgspec.Struct, frozen=True, tag="facts"):
    facts: NodeFacts


# To a node.


class Authority(msgspec.Struct, frozen=True, tag="authority"):
    certificate: str
    """PEM."""


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    certificate: str
    """The node's own, PEM."""


class Renewed(msgspec.Struct, frozen=True, tag="renewed"):
    certificate: str
    """The node's new one, PEM."""


class Registered(msgspec.Struct, frozen=True, tag="registered"):
    pass


class Attached(msgspec.Struct, frozen=True, tag="attached"):
    pass


class BlobSize(msgspec.Struct, frozen=True, tag="blob_size"):
    num_bytes: int
    """The size of the whole file."""


class BlobChunk(msgspec.Struct, frozen=True, tag="blob_chunk"):
    data: bytes


class StagePeer(msgspec.Struct, frozen=True):
    """A worker that serves a stage, and the agent of its node."""

    node: str
    host: str
    port: int
    worker: WorkerId


class StartWorker(msgspec.Struct, frozen=True, kw_only=True, tag="start_worker"):
    worker: WorkerId
    version: str
    files: Sequence[File]
    sources: dict[str, Sequence[BlobSource]]
    """Digest -> nodes that have the file."""
    is_stage: bool = False
    """It serves a stage of a split model: the home of it attaches to it, not the head."""
    stages: Sequence[StagePeer] = ()
    """It is the home of a split model, and attaches to these."""


class EndWorker(msgspec.Struct, frozen=True, tag="end_worker"):
    worker: WorkerId


class AskActivity(msgspec.Struct, frozen=True, tag="ask_activity"):
    worker: WorkerId


class AskFacts(msgspec.Struct, frozen=True, tag="ask_facts"):
    pass


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """The node has left the cluster. Its certificate isn't accepted any more."""


ToHead: TypeAlias = (
    AskAuthority
    | Join
    | Register
    | Attach
    | AttachStage
    | Renew
    | FetchBlob
    | Fetching
    | WorkerStarted
    | WorkerRefused
    | WorkerEnded
    | WorkerActivity
    | Facts
)
ToNode: TypeAlias = (
    Authority
    | Joined
    | Registered
    | Renewed
    | Attached
    | BlobSize
    | BlobChunk
    | StartWorker
    | EndWorker
    | AskActivity
    | AskFacts
    | Leave
    | Refused
)


def refused(error: LLMOSError) -> Refused:
    return Refused(error.code, error.message)


def differences(ours: Versions, theirs: Versions) -> Sequence[str]:
    """Return what differs, as in "LLMOS 0.1.0 here and 0.2.0 there"."""
    named: dict[str, tuple[Any, Any]] = {
        "LLMOS": (ours.llmos, theirs.llmos),
        "Python": (ours.python, theirs.python),
        "kernels of layout": (ours.kernels, theirs.kernels),
    }
    return [
        f"{name} {here} at the head and {there} on the node" for name, (here, there) in named.items() if here != there
    ]
