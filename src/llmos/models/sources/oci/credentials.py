"""Credentials of OCI registries from docker's configuration file, which `docker login` writes."""

import base64
import binascii
from pathlib import Path

from llmos.core.errors import BadModelFile, BadRequest
from llmos.engine.formats.json_file import read_json_object


def credentials_for(host: str, docker_config: Path | None) -> tuple[str, str] | None:
    """Return the name and password for a registry, or None where the file has none.

    Raises BadRequest for a broken file, and for credentials that are in a credential helper.
    """
    if docker_config is None or not docker_config.is_file():
        return None
    try:
        config = read_json_object(docker_config, docker_config.name)
    except BadModelFile as error:
        raise BadRequest(f"{docker_config} can't be read: {error.message}") from None
    entries = config.get("auths")
    entry = entries.get(host) or entries.get(f"https://{host}") if isinstance(entries, dict) else None
    if not isinstance(entry, dict):
        return None
    try:
        name, colon, password = base64.b64decode(entry.get("auth") or "", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise BadRequest(
            f"{docker_config} holds no name and password for {host}; credential helpers are not supported."
            f" Write them into the file: docker login {host}"
        )
    return name, password
