"""Folders of applications."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from llmos.core.app_files import pack
from llmos.data.app_versions.reading import read_content
from llmos.data.app_versions.versions import AppContent

FILES: Mapping[str, str] = {
    "app.yaml": "name: support\nmodel: smollm2\nprompt: prompts/support.md\npermissions: [datasets:read]\n",
    "app.py": "from llmos.apps import App\n\napp = App.from_folder(__file__)\n",
    "prompts/support.md": "---\nshop: {type: string, max_length: 40}\n---\nYou help the customers of {{shop}}.\n",
    "prompts/tone.md": "Be {{tone}}.\n",
    "data/faq/hours.md": "We are open from 9 to 5.\n",
}
"""The files of an application, in place of which a test has others."""


def app_files(**changed: str | None) -> dict[str, bytes]:
    """Return the files with some of them changed, or left out (None). A name is given as app_yaml for app.yaml, and as
    prompts_0_tone_md for prompts/tone.md."""
    files = {**FILES, **{_path(name): text for name, text in changed.items()}}
    return {name: text.encode() for name, text in files.items() if text is not None}


def app_content(files: Mapping[str, bytes], permissions: Iterable[str] = ("datasets:read",)) -> AppContent:
    return read_content(lambda: iter(files.items()), [*permissions])


def app_archive(files: Mapping[str, bytes]) -> bytes:
    return b"".join(pack(files.items()))


def write_app(folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
    for name, content in (app_files() if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def _path(name: str) -> str:
    stem, _, suffix = name.replace("_0_", "/").rpartition("_")
    return f"{stem}.{suffix}"
