"""Untrusted JSON files."""

import codecs
import json
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile

MAX_JSON_BYTES = 1 << 26


def read_text(path: Path, name: str, max_bytes: int = MAX_JSON_BYTES) -> str:
    """Return the text of a file, without a byte order mark at its beginning, as PowerShell writes it.

    Raises BadModelFile, calling the file `name`, if it is missing, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise BadModelFile(f"{name} is too large: it has more than {max_bytes:,} bytes.")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise BadModelFile(f"{name} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        kind = "UTF-16 text" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "not UTF-8 text"
        raise BadModelFile(f"{name} is {kind}. Save it as UTF-8.") from None


def read_json_object(path: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raises BadModelFile, calling it `name`, if there is none."""
    text = read_text(path, name)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadModelFile(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadModelFile(f"{name} is not a JSON object.")
    return value
