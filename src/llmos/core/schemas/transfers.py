"""The results of pushing and exporting a Version."""

from llmos.core.schemas.base import Description


class PushDescription(Description, frozen=True, kw_only=True):
    location: str = ""
    """The location to give to `llmos pull`."""
    sent_bytes: int = 0


class ExportDescription(Description, frozen=True, kw_only=True):
    path: str = ""
    size_bytes: int = 0
