"""The certificate of an erasure: what was removed of a person's data. Signed by the installation."""

from datetime import datetime

from msgspec import field

from llmos.core.schemas.base import Description


class ErasedFile(Description, frozen=True, kw_only=True):
    id: str = ""
    num_lines: int = 0
    """The lines about the person, which were taken out of the file."""


class ErasedRows(Description, frozen=True, kw_only=True):
    version: str = ""
    """NAME@NUMBER of a dataset."""
    num_rows: int = 0
    """The rows about the person, which were taken out."""


class ErasedDocuments(Description, frozen=True, kw_only=True):
    version: str = ""
    """NAME@NUMBER of knowledge."""
    num_documents: int = 0
    """The documents about the person, which were taken out."""


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
    """The ids of messages to webhooks that were deleted. Receivers have those that were delivered before."""
    files: list[ErasedFile] = field(default_factory=list)
    """Files of batches."""
    datasets: list[ErasedRows] = field(default_factory=list)
    knowledge: list[ErasedDocuments] = field(default_factory=list)
    num_ledger_entries: int = 0
    """Entries of the ledger that were the person's and are nobody's now: what was consumed and paid for stays."""
    num_answers: int = 0
    """Facts of answers that were the person's and are nobody's now."""
    num_keys_destroyed: int = 0
    """The keys that the person's responses, sessions and runs were encrypted under. Without them, no backup of these
    can be read."""
    num_contents_blocked: int = 0
    """Contents that are refused if somebody uploads them again."""


class ErasureCertificate(Description, frozen=True, kw_only=True):
    format: str = "llmos-erasure/1"
    issued_at: datetime | None = None
    subject: str = ""
    """What the requests called the person."""
    projects: list[ErasedInProject] = field(default_factory=list)
    backups: str = ""
    """What the erasure means for backups."""
    public_key: str = ""
    """The server's Ed25519 key, in PEM."""
    key: str = ""
    """The name of that key: digits of its SHA-256."""
    signature: str = ""
    """Over the canonical JSON (RFC 8785) of the certificate without this field, in base64."""
