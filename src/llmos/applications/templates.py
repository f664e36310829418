"""Templates and overlays: what `llmos app init` makes a folder of.

    support/template  ──copied──▶  my-shop/  ◀──added──  overlays/medical

An overlay adds its text to every prompt, its guardrails to those that there are, its evals, and its lines to app.yaml.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.core.app_manifest import FILE_NAME, parse_manifest, read_manifest
from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.core.yaml_text import read_yaml

_ROOT = Path(__file__).parent
_OVERLAYS = _ROOT / "overlays"
_GUARDRAILS = "guardrails.yaml"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")
_SIDES = ("input", "output", "both")


def templates() -> Mapping[str, str]:
    """Return {template: its description}."""
    folders = sorted(_ROOT.glob(f"*/template/{FILE_NAME}"))
    return {path.parents[1].name: read_manifest(path.parent).description for path in folders}


def overlays() -> Mapping[str, str]:
    """Return {overlay: its description}."""
    return {path.parent.name: _read(path)["description"] for path in sorted(_OVERLAYS.glob("*/overlay.yaml"))}


def make_app(template: str, folder: Path, *, overlay_names: Sequence[str] = ()) -> list[str]:
    """Make the folder of an application, and return its files.

    Raises BadRequest for a template or an overlay that there is not, a folder that has something, and one whose name
    can't be that of an application.
    """
    _check(template, templates(), "template")
    for name in overlay_names:
        _check(name, overlays(), "overlay")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadRequest(f"{folder} isn't empty. Choose another folder.", param="dir")
    manifest = _named(_ROOT / template / "template" / FILE_NAME, template, folder.resolve().name)
    try:
        shutil.copytree(_ROOT / template / "template", folder, dirs_exist_ok=True, ignore=_LEFT_OUT)
        (folder / FILE_NAME).write_text(manifest, encoding="utf-8")
        for name in dict.fromkeys(overlay_names):
            add_overlay(folder, name)
        read_manifest(folder)
    except OSError as error:
        raise BadRequest(f"{folder} can't be written: {error.strerror}.", param="dir") from None
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def add_overlay(folder: Path, name: str) -> None:
    """Add what an overlay has to the folder of an application."""
    overlay = _OVERLAYS / name
    added = (overlay / "prompt.md").read_text(encoding="utf-8").strip()
    for path in sorted((folder / "prompts").glob("*.md")):
        path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n\n{added}\n", encoding="utf-8")
    _merge_guardrails(folder / _GUARDRAILS, overlay / _GUARDRAILS)
    (folder / "evals").mkdir(exist_ok=True)
    for path in sorted((overlay / "evals").glob("*.yaml")):
        shutil.copyfile(path, folder / "evals" / path.name)
    manifest = folder / FILE_NAME
    text = _with_lines(manifest.read_text(encoding="utf-8"), _read(overlay / "overlay.yaml"))
    suites = [
        *parse_manifest(text).evals,
        *(f"evals/{path.name}" for path in sorted((overlay / "evals").glob("*.yaml"))),
    ]
    manifest.write_text(_set(text, "evals", f"[{', '.join(dict.fromkeys(suites))}]"), encoding="utf-8")


def _merge_guardrails(path: Path, overlay: Path) -> None:
    """Write the guardrails of an overlay behind those that the folder has."""
    import yaml

    if not path.exists():
        shutil.copyfile(overlay, path)
        return
    ours, theirs = _read(path), _read(overlay)
    merged = {side: [*ours.get(side, []), *theirs.get(side, [])] for side in _SIDES if side in ours or side in theirs}
    path.write_text(yaml.safe_dump(merged, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")


def _with_lines(text: str, overlay: Mapping[str, Any]) -> str:
    """Return app.yaml with what an overlay sets. Comments stay."""
    manifest = parse_manifest(text)
    days = min(overlay["retention_days"], manifest.retention_days or overlay["retention_days"])
    text = _set(text, "guardrails", _GUARDRAILS)
    text = _set(text, "retention_days", str(days))
    text = _set(text, "disclaimer", _quoted(f"{manifest.disclaimer} {overlay['disclaimer']}".strip()))
    if "handoff" in overlay and manifest.handoff is None:
        text = _set(text, "handoff", overlay["handoff"])
    return text


def _set(text: str, key: str, value: str) -> str:
    """Return a YAML text with a value of its highest level in one line, in the place of the one before."""
    line = f"{key}: {value}"
    replaced, count = re.subn(rf"^{key}:.*$", lambda _: line, text, flags=re.MULTILINE)
    return replaced if count else f"{text.rstrip()}\n{line}\n"


def _named(path: Path, template: str, name: str) -> str:
    """Return the app.yaml of a template with another name. Raises BadRequest for one that no application can have."""
    text = _set(path.read_text(encoding="utf-8"), "name", name)
    try:
        parse_manifest(text)
    except BadRequest:
        raise BadRequest(
            f"{name[:80]!r} can't be the name of an application, which has lower-case letters, digits and hyphens."
            f" Choose another folder, such as my-{template}.",
            param="dir",
        ) from None
    return text


def _check(name: str, known: Mapping[str, str], what: str) -> None:
    if name not in known:
        near = nearest(name, list(known), 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
        raise BadRequest(f"There is no {what} {name[:80]!r}. {hint}", param=what)


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = read_yaml(path.read_text(encoding="utf-8"), str(path))
    return value


def _quoted(text: str) -> str:
    """Return a text in the double quotes of YAML."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
