"""The keys of a model's configuration that its owner wants to have ignored, kept in a file beside the others.

The engine refuses keys of config.json or of a GGUF file's architecture that it doesn't know. `--ignore KEY` of `llmos
import` and `llmos pull` writes them to this file, which belongs to the version.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from llmos.core.errors import BadModelFile
from llmos.engine.formats.json_file import read_json_object

FILE_NAME = "llmos-ignored-keys.json"


def read_ignored_keys(files: Mapping[str, Path]) -> frozenset[str]:
    """Return the ignored keys of a model, given its files (file name -> path). Raises BadModelFile."""
    if FILE_NAME not in files:
        return frozenset()
    keys = read_json_object(files[FILE_NAME], FILE_NAME).get("ignored")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadModelFile(f"{FILE_NAME} must have a list of keys as `ignored`.")
    return frozenset(keys)


def format_ignored_keys(keys: Collection[str]) -> str:
    """Return the content of the file."""
    return json.dumps({"ignored": sorted(set(keys))}, indent=1) + "\n"
