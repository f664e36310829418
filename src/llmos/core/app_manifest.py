"""app.yaml: reading and checking the manifest of an application."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec

from llmos.core.app_environments import in_environment
from llmos.core.errors import BadRequest
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.suggest import did_you_mean
from llmos.core.yaml_text import read_yaml

FILE_NAME = "app.yaml"
_UNKNOWN = re.compile(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")


def read_manifest(folder: Path) -> AppManifest:
    """Return what app.yaml in a folder says. Raises BadRequest that names the file, and the field or the line."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadRequest(f"{folder} has no {FILE_NAME}. `llmos app init` makes a folder that has one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} can't be read: {getattr(error, 'strerror', None) or error}.") from None
    return parse_manifest(text, str(path))


def parse_manifest(text: str, source: str = FILE_NAME) -> AppManifest:
    """Return the manifest in a text. Raises BadRequest that begins with `source`."""
    value = read_yaml(text, source)
    if not isinstance(value, dict):
        raise BadRequest(f"{source} must have fields, such as `name: support`.")
    manifest = _checked(value, source)
    for name in manifest.environments:
        _checked(in_environment(value, name, source), f"{source}, environment {name}")
    return manifest


def manifest_text(text: str, environment: str, source: str = FILE_NAME) -> str:
    """Return app.yaml with the values of an environment in place of its own.

    Raises BadRequest that begins with `source` for an environment that there is not, and as parse_manifest().
    """
    import yaml

    parse_manifest(text, source)
    merged = in_environment(read_yaml(text, source), environment, source)
    dumped: str = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=120)
    return dumped


def _checked(value: dict[str, Any], source: str) -> AppManifest:
    try:
        manifest = msgspec.convert(value, AppManifest)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{source}: {_fault(str(error))}") from None
    prompt = manifest.prompt
    if not isinstance(prompt, str) and prompt.version is not None and prompt.alias is not None:
        raise BadRequest(f"{source}: `prompt` has either a `version` or an `alias`.")
    for name, server in manifest.mcp.items():
        if (server.command is None) == (server.url is None):
            raise BadRequest(f"{source}: `mcp.{name}` has either a `command` or a `url`.")
    return manifest


def _fault(message: str) -> str:
    """Return a message of msgspec with the field first; for an unknown field, with the nearest name."""
    if unknown := _UNKNOWN.search(message):
        name, path = unknown[1], unknown[2] or ""
        where = f"{path}.{name}" if path else name
        return f"there is no field `{where}`. {did_you_mean(name, _fields_at(path))}"
    what, _, path = message.partition(" - at `$.")
    return f"`{path.rstrip('`')}`: {what}." if path else f"{what}."


def _fields_at(path: str) -> list[str]:
    """Return the fields of the struct at a path such as knowledge, or mcp[...]."""
    kind: Any = AppManifest
    for part in filter(None, re.split(r"\.|\[\.\.\.\]", path)):
        if not hasattr(kind, "__struct_fields__"):
            break
        hint: Any = next((each.type for each in msgspec.structs.fields(kind) if each.name == part), None)
        kind = next((each for each in [hint, *_parts_of(hint)] if hasattr(each, "__struct_fields__")), kind)
    return [*kind.__struct_fields__]


def _parts_of(hint: Any) -> list[Any]:
    return [each for part in get_args(hint) for each in (part, *_parts_of(part))]
