"""Reads the files of an application before they become a version: app.yaml, and the files in prompts/."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import msgspec

from llmos.core.app_manifest import FILE_NAME, manifest_text, parse_manifest
from llmos.core.errors import BadRequest
from llmos.core.names import check_name
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.suggest import did_you_mean
from llmos.data.app_versions.versions import AppContent

PROMPTS = "prompts/"
PROMPT_SUFFIXES = (".md", ".txt")
SUITE_SUFFIXES = (".yaml", ".yml", ".json")
"""The ends of the names of suites that are files; others are datasets."""


Read = Callable[[], Iterable[tuple[str, bytes]]]
"""Yields the names and contents of files, each time that it is called."""


@dataclass(frozen=True, slots=True)
class _Files:
    """Files that are read each time that somebody iterates over them."""

    read: Read

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return iter(self.read())


def read_content(read: Read, permissions: Collection[str], environment: str = "") -> AppContent:
    """Return what a version is made of. `read` is called several times: no more than one file is in memory.

    `permissions`: those that there are. `environment`: the one whose values app.yaml has in the version.
    Raises BadRequest, in one line that names the file, for what is wrong.
    """
    if environment:
        read = partial(_in_environment, read, environment)
    texts: dict[str, str] = {}
    names: set[str] = set()
    for name, content in read():
        names.add(name)
        if name == FILE_NAME or is_prompt(name):
            texts[name] = _text(name, content)
    if FILE_NAME not in texts:
        raise BadRequest(
            f"There is no {FILE_NAME} at the top of the application's files. `llmos app init` makes a folder with one.",
            param="files",
        )
    manifest = parse_manifest(texts.pop(FILE_NAME))
    _check_manifest(manifest, names, permissions)
    return AppContent(
        name=manifest.name,
        model=manifest.model,
        permissions=manifest.permissions,
        manifest=_as_json(manifest),
        files=_Files(read),
        prompts=_read_prompts(manifest.name, texts),
    )


def _in_environment(read: Read, environment: str) -> Iterator[tuple[str, bytes]]:
    for name, content in read():
        yield name, manifest_text(_text(name, content), environment).encode() if name == FILE_NAME else content


def is_prompt(name: str) -> bool:
    """Return whether a file becomes a prompt."""
    return name.startswith(PROMPTS) and name.endswith(PROMPT_SUFFIXES)


def prompt_name(app: str, file: str) -> str:
    """Return what the prompt of a file is called on the server: APP.FILE, or APP for a file with that name."""
    path = PurePosixPath(file.removeprefix(PROMPTS))
    parts = [*path.parent.parts, path.stem]
    return app if parts == [app] else ".".join([app, *parts])


def _read_prompts(app: str, texts: Mapping[str, str]) -> dict[str, PromptText]:
    prompts: dict[str, PromptText] = {}
    files: dict[str, str] = {}
    for file, text in sorted(texts.items()):
        name = prompt_name(app, file)
        if name in files:
            raise BadRequest(f"{files[name]} and {file} would both be the prompt {name}. Rename one.", param="files")
        try:
            check_name(name, "a prompt")
        except BadRequest as error:
            raise BadRequest(f"{file}: {error.message}", param="files") from None
        prompts[name], files[name] = PromptText.parse(text, file), file
    return prompts


def _check_manifest(manifest: AppManifest, names: Collection[str], permissions: Collection[str]) -> None:
    """Raise BadRequest for a file that the manifest names and that isn't there, and for an unknown permission."""
    for permission in manifest.permissions:
        if permission not in permissions:
            raise BadRequest(
                f"{FILE_NAME}: `permissions`: there is no permission {permission!r:.80}."
                f" {did_you_mean(permission, sorted(permissions))}",
                param="files",
            )
    prompt = manifest.prompt
    files = {
        "prompt": prompt if isinstance(prompt, str) and "\n" not in prompt and prompt.endswith(PROMPT_SUFFIXES) else "",
        "guardrails": manifest.guardrails or "",
    }
    named = [*files.items(), *(("evals", each) for each in manifest.evals if each.endswith(SUITE_SUFFIXES))]
    for field, file in named:
        if file and file not in names:
            raise BadRequest(
                f"{FILE_NAME}: `{field}`: there is no file {file!r:.200}. {did_you_mean(file, sorted(names))}",
                param="files",
            )


def _as_json(manifest: AppManifest) -> Mapping[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(manifest)
    return found


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{name} isn't text in UTF-8.", param="files") from None
