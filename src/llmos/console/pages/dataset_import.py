"""Imports of datasets: a file is uploaded, shown as rows with the columns mapped, and then imported by a job."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.uploads import answer, send_file, sent_form
from llmos.console.view import View
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.schemas.base import read_description
from llmos.core.schemas.datasets import PreviewDescription
from llmos.core.schemas.jobs import JobDescription

SHAPES = ("messages", "sharegpt", "alpaca", "prompt-completion", "chatml", "preference", "case", "text")
CONSENTS = ("train", "eval", "none")

_UPLOADS = "/llmos/v1/dataset-uploads"
_JOBS = "/llmos/v1/jobs"
_CHOICES = ("shape", "on_error", "license", "consent", "language", "split")
_FIELDS = ("name", "file", "digest", "mapping", *_CHOICES)


def register(page: Page) -> None:
    page.post("/upload")(upload)
    page.get("/import")(show_import)
    page.post("/import")(start_import)


async def upload(view: View) -> Response:
    """Keep a file that a form sends until it is imported, for a week at most, and show what its import would do."""
    try:
        async with sent_form(view) as form:
            if len(form.files) != 1:
                raise BadRequest(view.t("upload.no_file"))
            (file,) = form.files
            await send_file(view, _UPLOADS, file)
            asked = {"name": form.fields.get("name", "").strip(), "file": file.name, "digest": file.digest}
    except LLMOSError as error:
        return answer(view, view.redirect("/datasets", error.message, kind="failed"))
    return answer(view, view.redirect(f"/datasets/import?{urlencode(asked)}"))


async def show_import(view: View) -> Response:
    asked = {name: view.query(name)[:2000] for name in _FIELDS}
    preview, problem = None, ""
    if asked["digest"]:
        # A preview changes nothing. The server takes it as a POST, which needs the visitor's token.
        view.api.csrf_token = view.session.csrf_token
        try:
            found = await view.api.post(f"{_UPLOADS}/preview", _body(view, asked))
            preview = read_description(PreviewDescription, found)
        except LLMOSError as error:
            problem = error.message
    name, file = asked["name"] or "NAME", asked["file"] or "FILE"
    return view.render(
        "dataset_import.html",
        asked=asked,
        preview=preview,
        rows=[] if preview is None else [json.dumps(row.content, ensure_ascii=False, indent=2) for row in preview.rows],
        problem=problem,
        shapes=SHAPES,
        consents=CONSENTS,
        code=code.changing(
            "POST",
            f"llmos dataset import {file} --name {name}",
            _JOBS,
            {"kind": "dataset_import", "name": name, "files": [{"name": file, "digest": asked["digest"]}]},
            f"client.datasets.import_path({file!r}, {name!r})",
        ),
    )


async def start_import(view: View) -> Response:
    form = await view.form()
    asked = {name: form.get(name, "").strip() for name in _FIELDS}
    view.form_came_from = f"/datasets/import?{urlencode({name: value for name, value in asked.items() if value})}"
    body = {"kind": "dataset_import", "name": asked["name"], **_body(view, asked)}
    job = read_description(JobDescription, await view.api.post(_JOBS, body))
    return view.redirect(f"/datasets/jobs/{job.id}")


def _body(view: View, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of an import, as the API has them."""
    body: dict[str, Any] = {"files": [{"name": asked["file"], "digest": asked["digest"]}]}
    body |= {name: asked[name] for name in _CHOICES if asked[name]}
    mapping: dict[str, str] = {}
    for line in asked["mapping"].splitlines():
        field, mark, column = line.partition("=")
        if not line.strip():
            continue
        if not mark:
            raise BadRequest(view.t("datasets.no_mapping", line=line[:80]))
        mapping[field.strip()] = column.strip()
    return body | ({"mapping": mapping} if mapping else {})
