"""A JSON file of somebody else's."""

import json
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile

MAX_JSON_BYTES = 1 << 26


def read_text(path: Path, name: str, max_bytes: int = MAX_JSON_BYTES) -> str:
    """Return the file's text. Raises BadModelFile, calling the file `name`, if it is missing, too large or no UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise BadModelFile(f"{name} has more than {max_bytes:,} bytes, too many for what it is.")
        return content.decode("utf-8")
    except OSError as error:
        raise BadModelFile(f"{name} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise BadModelFile(f"{name} is not UTF-8 text.") from None


def read_json_object(path: Path, name: str) -> dict[str, Any]:
    """Return the object that the file holds. Raises BadModelFile, calling the file `name`, if it holds none."""
    text = read_text(path, name)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadModelFile(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadModelFile(f"{name} holds no JSON object.")
    return value
