"""Compares the files of an application with others of it: stored versions, or a folder that is no version yet."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from llmos.core.prompt_text import PromptText
from llmos.core.schemas.apps import AppDifference, FieldChange, FileChange
from llmos.core.schemas.prompts import PromptDifference
from llmos.data.app_versions.reading import is_prompt, prompt_name
from llmos.data.app_versions.versions import AppFile, AppFiles
from llmos.data.prompts.comparing import compare as compare_prompts

MAX_TEXT_BYTES = 262_144
"""Larger files are compared by their size alone."""


def compare(older: AppFiles, newer: AppFiles) -> AppDifference:
    """Return what differs from the older to the newer files."""
    return AppDifference(
        older=older.ref,
        newer=newer.ref,
        files=list(_file_changes(older, newer)),
        manifest=list(_field_changes(older.manifest, newer.manifest)),
        prompts=list(_prompt_changes(older, newer)),
    )


def _file_changes(older: AppFiles, newer: AppFiles) -> Iterator[FileChange]:
    for name in sorted({*older.files, *newer.files}):
        was, now = older.files.get(name), newer.files.get(name)
        if was is not None and now is not None and was.digest == now.digest:
            continue
        yield FileChange(
            name=name,
            change="added" if was is None else "removed" if now is None else "changed",
            was_bytes=None if was is None else was.size,
            now_bytes=None if now is None else now.size,
            lines=_lines(_text(older, was), _text(newer, now), older.ref, newer.ref),
        )


def _text(files: AppFiles, file: AppFile | None) -> str | None:
    """Return the text of a file; None for one that isn't a text, or is large."""
    if file is None:
        return ""
    if file.size > MAX_TEXT_BYTES:
        return None
    try:
        text = files.read(file.name).decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _lines(before: str | None, after: str | None, older: str, newer: str) -> list[str]:
    if before is None or after is None:
        return []
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), older, newer, lineterm=""))


def _field_changes(before: Any, after: Any, path: str = "") -> Iterator[FieldChange]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _field_changes(before.get(name), after.get(name), f"{path}.{name}" if path else str(name))
    elif before != after:
        yield FieldChange(name=path, was=before, now=after)


def _prompt_changes(older: AppFiles, newer: AppFiles) -> Iterator[PromptDifference]:
    before, after = _prompts_of(older), _prompts_of(newer)
    for name, text in before.items():
        if name in after and (text.text, text.variables) != (after[name].text, after[name].variables):
            yield compare_prompts(text, after[name])


def _prompts_of(files: AppFiles) -> dict[str, PromptText]:
    return {
        prompt_name(files.app, name): PromptText.parse(files.read(name).decode(), f"{files.ref}, {name}")
        for name in files.files
        if is_prompt(name)
    }
