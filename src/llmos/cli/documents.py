"""Documents that commands take: YAML files with an object."""

from pathlib import Path
from typing import Any


def read_document(file: Path, needs: str) -> dict[str, Any]:
    """Return the object in a YAML file. Raises BadRequest. `needs`: what the message says that it must have."""
    from llmos.core.errors import BadRequest
    from llmos.core.yaml_text import read_yaml

    document = read_yaml(file.read_text(encoding="utf-8", errors="replace"), str(file))
    if not isinstance(document, dict):
        raise BadRequest(f"{file} has no {needs}. See docs/billing.md.")
    return document
