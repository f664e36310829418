"""The certificate of an erasure: a signed list of a person's data that were removed."""

from datetime import datetime

from msgspec import field

from llmos.core.schemas.base import Description


class ErasedFile(Description, frozen=True, kw_only=True):
    id: str = ""
    num_lines: int = 0
    """The number of lines about the person that were removed from the file."""


class ErasedRows(Description, frozen=True, kw_only=True):
    version: str = ""
    """NAME@NUMBER of a dataset."""
    num_rows: int = 0
    """The number of rows about the person that were removed."""


class ErasedDocuments(Description, frozen=True, kw_only=True):
    version: str = ""
    """NAME@NUMBER of knowledge."""
    num_documents: int = 0
    """The number of documents about the person that were removed."""


class ErasedInProject(Description, frozen=True, kw_only=True):
    project: str = ""
    erasure_id: str = ""
    responses: list[str] = field(default_factory=list)
    """The ids of stored responses that were deleted."""
    sessions: list[str] = field(default_factory=list)
    """The ids of sessions of applications that were deleted, with their turns."""
    runs: list[str] = field(default_factory=list)
    """The ids of runs of applications that were deleted."""
    handoffs: list[str] = field(default_factory=list)
    """The ids of handoffs of applications that were deleted."""
    conversations: list[str] = field(default_factory=list)
    """The ids of conversations of the person with models that were deleted."""
    feedback: list[str] = field(default_factory=list)
    """The ids of feedback of the person that was deleted."""
    evals: list[str] = field(default_factory=list)
    """The ids of runs of evals with data of the person that were deleted."""
    messages: list[str] = field(default_factory=list)
    """The ids of messages to webhooks that were deleted. Receivers still have those that were delivered before."""
    files: list[ErasedFile] = field(default_factory=list)
    """The files of batches that lines were removed from."""
    datasets: list[ErasedRows] = field(default_factory=list)
    knowledge: list[ErasedDocuments] = field(default_factory=list)
    num_ledger_entries: int = 0
    """The number of entries of the ledger from which the person's name was removed. Usage and cost stay."""
    num_answers: int = 0
    """The number of answers from whose facts the person's name was removed."""
    num_keys_destroyed: int = 0
    """The number of destroyed keys that encrypted the person's responses, sessions and runs. Backups of these can't be
    read without the keys."""
    num_contents_blocked: int = 0
    """The number of contents that are refused if they are uploaded again."""


class ErasureCertificate(Description, frozen=True, kw_only=True):
    format: str = "llmos-erasure/1"
    issued_at: datetime | None = None
    subject: str = ""
    """The person's name in requests: the value of `user`."""
    projects: list[ErasedInProject] = field(default_factory=list)
    backups: str = ""
    """The effect of the erasure on backups, in sentences."""
    public_key: str = ""
    """The server's Ed25519 key, in PEM."""
    key: str = ""
    """The id of `public_key`: the first digits of its SHA-256."""
    signature: str = ""
    """The signature of the canonical JSON (RFC 8785) of the certificate without this field, in base64."""
