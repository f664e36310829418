"""The arguments of an App that app.yaml stands for."""

from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from llmos.apps.history import History
from llmos.apps.knowledge import Knowledge
from llmos.apps.limits import Limits
from llmos.core.app_manifest import FILE_NAME
from llmos.core.errors import BadRequest
from llmos.core.prompt_text import StoredPrompt, is_file_name
from llmos.core.schemas.app_manifests import AppManifest


def folder_of(path: str | Path) -> Path:
    """Return a folder, or that of a file in it."""
    path = Path(path).resolve()
    return path if path.is_dir() else path.parent


def arguments_of(manifest: AppManifest, folder: Path) -> dict[str, Any]:
    """Return the arguments of App that a manifest stands for. Raises BadRequest for a prompt outside of the folder."""
    given: dict[str, Any] = {name: getattr(manifest, name) for name in ("name", "model", "options", "variables")}
    given |= {"disclaimer": manifest.disclaimer, "prompt": _prompt_of(manifest, folder)}
    given |= {"limits": Limits(**asdict(manifest.limits)), "history": History(**asdict(manifest.history))}
    if manifest.knowledge is not None:
        options = {name: value for name, value in asdict(manifest.knowledge).items() if value is not None}
        options = {name: value for name, value in options.items() if name not in ("documents", "questions")}
        given["knowledge"] = Knowledge(**options)
    if manifest.handoff is not None:
        given["handoff"] = manifest.handoff if isinstance(manifest.handoff, str) else asdict(manifest.handoff)
    return given


def _prompt_of(manifest: AppManifest, folder: Path) -> str | Path | StoredPrompt:
    prompt = manifest.prompt
    if not isinstance(prompt, str):
        return StoredPrompt(prompt.reference)
    if not is_file_name(prompt):
        return prompt
    path = (folder / prompt).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BadRequest(f"{FILE_NAME}: `prompt` is {prompt}, which lies outside of the folder.", param="prompt")
    return path
