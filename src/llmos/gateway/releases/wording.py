"""The changes of a release in words: one sentence each, with the lines of prompts and files behind it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmos.core.app_files import FILE_NAME
from llmos.core.plurals import counted
from llmos.core.schemas.apps import AppDifference, FieldChange, FileChange
from llmos.core.schemas.prompts import PromptDifference
from llmos.core.schemas.releases import PlannedChange
from llmos.data.app_versions.reading import is_prompt
from llmos.data.app_versions.versions import AppFiles

_MAX_NAMES = 5
_MAX_VALUE = 80


def first_release(files: AppFiles) -> list[PlannedChange]:
    """Return what a release changes where nothing is deployed."""
    manifest, num_prompts = files.manifest, sum(is_prompt(name) for name in files.files)
    knowledge = manifest.get("knowledge")
    parts = [
        f"It asks {manifest.get('model', 'dialogue')}",
        f"has {counted(num_prompts, 'prompt')} and {counted(len(files.files), 'file')}",
        *([f"answers from the knowledge {knowledge['name']}"] if knowledge else []),
    ]
    text = f"{files.app} isn't deployed yet. {', '.join(parts[:-1])} and {parts[-1]}."
    return [PlannedChange(kind="new", text=text)]


def changes_of(difference: AppDifference, documents_folder: str | None) -> Iterator[PlannedChange]:
    """Yield the changes between two versions. `documents_folder`: its files are knowledge, and no files of the app."""
    for field in difference.manifest:
        yield _field(field)
    changed = {name for name in (each.newer.partition(", ")[2] for each in difference.prompts) if name}
    for prompt in difference.prompts:
        yield _prompt(prompt)
    for file in difference.files:
        is_document = documents_folder is not None and file.name.startswith(f"{documents_folder.rstrip('/')}/")
        if file.name != FILE_NAME and file.name not in changed and not is_document:
            yield _file(file)


def document_changes(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[PlannedChange]:
    """Yield how documents differ: {name: digest} of those in the knowledge, and of those in the folder."""
    added = [each for each in now if each not in before]
    removed = [each for each in before if each not in now]
    changed = [each for each in now if each in before and before[each] != now[each]]
    parts = [
        f"{counted(len(names), 'document')} {verb if len(names) == 1 else plural} ({_some(names)})"
        for names, verb, plural in (
            (added, "is new", "are new"),
            (changed, "changes", "change"),
            (removed, "goes", "go"),
        )
        if names
    ]
    if parts:
        yield PlannedChange(kind="knowledge", text=f"The knowledge {name}: {', '.join(parts)}.")


def _field(change: FieldChange) -> PlannedChange:
    was, now = _value(change.was), _value(change.now)
    if change.name == "model":
        return PlannedChange(kind="model", text=f"It asks {now} instead of {was}.")
    if change.was is None:
        return PlannedChange(kind="field", text=f"`{change.name}` is new: {now}.")
    if change.now is None:
        return PlannedChange(kind="field", text=f"`{change.name}` goes; it was {was}.")
    return PlannedChange(kind="field", text=f"`{change.name}` is {now} instead of {was}.")


def _prompt(change: PromptDifference) -> PlannedChange:
    name = change.newer.partition(", ")[2]
    sentences = [f"The prompt {name}: {_lines(change.num_added, change.num_removed)}."]
    sentences += [each.sentence for each in change.variables]
    return PlannedChange(kind="prompt", text=" ".join(sentences), lines=change.lines)


def _file(change: FileChange) -> PlannedChange:
    kind = "prompt" if is_prompt(change.name) else "file"
    what = f"The {kind} {change.name}"
    if change.change == "added":
        return PlannedChange(kind=kind, text=f"{what} is new.", lines=change.lines)
    if change.change == "removed":
        return PlannedChange(kind=kind, text=f"{what} goes.")
    if not change.lines:
        return PlannedChange(kind=kind, text=f"{what} has {change.now_bytes:,} bytes instead of {change.was_bytes:,}.")
    added, removed = (sum(line.startswith(sign) for line in change.lines[2:]) for sign in "+-")
    return PlannedChange(kind=kind, text=f"{what}: {_lines(added, removed)}.", lines=change.lines)


def _lines(added: int, removed: int) -> str:
    return f"{counted(added, 'line')} added, {removed} removed"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
