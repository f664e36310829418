"""The encryption of what is kept: where the keys are, and how much they encrypt."""

from msgspec import field

from llmos.core.schemas.base import Description


class EncryptionDescription(Description, frozen=True, kw_only=True):
    master_key: str = ""
    """Where it is: a file, LLMOS_MASTER_KEY, or a key in Vault."""
    master_key_id: str = ""
    """Names the key, and says nothing about it."""
    key_ring: str = ""
    """The database with the keys that the master key opens."""
    num_project_keys: int = 0
    num_subject_keys: int = 0
    """The keys of persons whose data are kept."""
    num_objects: int = 0
    """Responses, files, files of models and providers' keys that are encrypted."""
    num_plain: int = 0
    """Those that an earlier version kept and that aren't yet."""


class RotationDescription(Description, frozen=True, kw_only=True):
    project: str | None = None
    """null for the master key."""
    master_key_id: str = ""
    num_keys: int = 0
    """The keys that were wrapped anew: those of projects, or of a project's objects. No data were written again."""


class EncryptedModelsDescription(Description, frozen=True, kw_only=True):
    versions: list[str] = field(default_factory=list)
    """The Versions whose files are all encrypted now."""
    num_files: int = 0
    """The files that weren't encrypted before."""
    size_bytes: int = 0
    """Of those files."""
