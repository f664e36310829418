"""Models: the Versions that are stored, the catalog, downloads; and one Version with its aliases, files and card."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.forms import changed_labels
from llmos.console.lineage import lineage_of
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest, NotFound
from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.schemas.models import CatalogEntryDescription, ModelDescription, ModelFile, VersionDetails
from llmos.core.schemas.signatures import SignatureDescription

PAGE = Page(name="models", permission="models:read")

_MAX_JOBS = 5


def _version_path(ref: str) -> str:
    return f"/models/{ref}"


_VERSIONS: Sequence[Column[ModelDescription]] = (
    Column(
        name="version", title="models.version", value=lambda row: row.version, link=lambda row: f"/models/{row.version}"
    ),
    Column(name="family", title="models.family", value=lambda row: row.family),
    Column(name="quantization", title="models.quantization", value=lambda row: row.quantization),
    Column(name="parameters", title="models.parameters", value=lambda row: row.parameters, kind="number"),
    Column(name="context_length", title="models.context", value=lambda row: row.context_length, kind="number"),
    Column(name="size_bytes", title="models.size", value=lambda row: row.size_bytes, kind="size"),
    Column(name="license", title="models.license", value=lambda row: row.license),
    Column(name="created_at", title="models.since", value=lambda row: row.created_at, kind="time"),
)
_CATALOG: Sequence[Column[CatalogEntryDescription]] = (
    Column(name="name", title="models.name", value=lambda row: row.name),
    Column(name="description", title="models.description", value=lambda row: row.description),
    Column(name="download_bytes", title="models.download", value=lambda row: row.download_bytes, kind="size"),
    Column(name="license", title="models.license", value=lambda row: row.license),
    Column(name="here", title="models.here", value=lambda row: "here" if row.here else "not_here", kind="state"),
)
_FILES: Sequence[Column[ModelFile]] = (
    Column(name="name", title="models.name", value=lambda row: row.name),
    Column(name="size_bytes", title="models.size", value=lambda row: row.size_bytes, kind="size"),
    Column(name="digest", title="models.digest", value=lambda row: row.digest),
)
_MOVES: Sequence[Column[AliasMoveDescription]] = (
    Column(name="name", title="models.alias", value=lambda row: row.name),
    Column(
        name="was", title="models.was", value=lambda row: row.was, link=lambda row: row.was and f"/models/{row.was}"
    ),
    Column(
        name="now", title="models.now", value=lambda row: row.now, link=lambda row: row.now and f"/models/{row.now}"
    ),
    Column(name="at", title="models.at", value=lambda row: row.at, kind="time"),
    Column(name="by", title="models.by", value=lambda row: row.by),
)


_SIGNATURES: Sequence[Column[SignatureDescription]] = (
    Column(name="key", title="models.signed_by", value=lambda row: row.key),
)
_LABELS: Sequence[Column[LabelChangeDescription]] = (
    Column(name="subject", title="models.name", value=lambda row: row.subject),
    Column(name="what", title="models.label", value=lambda row: row.what),
    Column(name="was", title="models.was", value=lambda row: row.was),
    Column(name="now", title="models.now", value=lambda row: row.now),
    Column(name="at", title="models.at", value=lambda row: row.at, kind="time"),
    Column(name="by", title="models.by", value=lambda row: row.by),
)


@PAGE.get()
async def list_models(view: View) -> Response:
    versions = await view.api.list(ModelDescription, "/llmos/v1/models")
    catalog = await view.api.list(CatalogEntryDescription, "/llmos/v1/catalog")
    stored = Table(view, "models", _VERSIONS, versions, empty="models.none")
    known = Table(view, "catalog", _CATALOG, catalog, empty="models.no_catalog")
    for table in (stored, known):
        if table.is_wanted_as_csv:
            return table.csv()
    return view.render(
        "models.html",
        versions=stored,
        catalog=known,
        pullable=[entry for entry in catalog if not entry.here],
        may_pull=view.may("models:write") and view.may("jobs:write"),
        jobs=await _jobs(view),
        code=code.reading(
            "llmos list", "/llmos/v1/models", "for model in client.models.list():\n    print(model.name)"
        ),
        pull_code=code.changing(
            "POST",
            "llmos pull smollm2",
            "/llmos/v1/jobs",
            {"kind": "pull", "model": "smollm2"},
            'job = client.jobs.start("pull", model="smollm2")\n'
            "for state in client.jobs.follow(job.id):\n    print(state.progress)",
        ),
    )


@PAGE.live()
async def watch_jobs(view: View) -> Fragments:
    return {"jobs": view.html("models_jobs.html", jobs=await _jobs(view))}


@PAGE.post("/pull")
async def pull(view: View) -> Response:
    form = await view.form()
    model, name = form.get("model", "").strip(), form.get("name", "").strip()
    if not model:
        raise BadRequest(view.t("models.no_location"))
    body = {"kind": "pull", "model": model} | ({"name": name} if name else {})
    await view.api.post("/llmos/v1/jobs", body)
    return view.redirect(view.form_came_from or "/models", view.t("models.pulling", name=model))


@PAGE.post("/import")
async def import_model(view: View) -> Response:
    """Begin to import the files that a script has uploaded."""
    form = await view.form()
    try:
        files = msgspec.json.decode(form.get("files") or "[]")
    except msgspec.DecodeError:
        files = []
    if not files:
        raise BadRequest(view.t("models.import_none"))
    name = form.get("name", "").strip()
    body = {"kind": "model_import", "name": name, "files": files, "license": form.get("license", "").strip() or None}
    await view.api.post("/llmos/v1/jobs", body)
    return view.redirect("/models", view.t("models.importing", name=name))


@PAGE.post("/jobs/{id}/cancel")
async def cancel_job(view: View) -> Response:
    await view.form()
    await view.api.post(f"/llmos/v1/jobs/{view.request.path_params['id']}/cancel")
    return view.redirect(view.form_came_from or "/models", view.t("jobs.cancelled"))


@PAGE.get("/{ref}")
async def show_version(view: View) -> Response:
    ref = view.request.path_params["ref"]
    details = await view.api.read(VersionDetails, f"/llmos/v1/models/{ref}/details")
    model = details.version.partition("@")[0]
    moves = await view.api.list(AliasMoveDescription, f"/llmos/v1/models/{model}/aliases/history")
    files = Table(view, "files", _FILES, details.files, empty="models.no_files")
    history = Table(view, "aliases", _MOVES, moves[::-1], empty="models.no_aliases")
    found = await view.api.list(SignatureDescription, f"/llmos/v1/models/{details.version}/signatures")
    signatures = Table(view, "signatures", _SIGNATURES, found, empty="models.no_signatures")
    changes = await view.api.list(LabelChangeDescription, f"/llmos/v1/models/{model}/labels/history")
    labels = Table(view, "labels", _LABELS, changes[::-1], empty="models.no_label_changes")
    for table in (files, history, signatures, labels):
        if table.is_wanted_as_csv:
            return table.csv()
    return view.render(
        "model.html",
        details=details,
        model=model,
        files=files,
        history=history,
        signatures=signatures,
        labels=labels,
        lineage=lineage_of(details, await view.api.list(ModelDescription, "/llmos/v1/models")),
        card=await _card(view, details.version),
        card_path=f"/llmos/v1/models/{quote_path(details.version)}/card.html",
        code=code.reading(
            f"llmos show {details.version}",
            f"/llmos/v1/models/{details.version}/details",
            f'print(client.models.get("{details.version}").info)',
        ),
    )


@PAGE.post("/{ref}/alias")
async def set_alias(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    alias = form.get("alias", "").strip()
    model = ref.partition("@")[0]
    view.form_came_from = _version_path(ref)
    if not alias:
        raise BadRequest(view.t("models.no_alias_name"))
    await view.api.put(f"/llmos/v1/models/{model}/aliases/{alias}", {"version": ref})
    return view.redirect(_version_path(ref), view.t("models.alias_set", alias=f"{model}:{alias}", version=ref))


@PAGE.post("/{ref}/alias/remove")
async def remove_alias(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    model, _, alias = form.get("alias", "").partition(":")
    view.form_came_from = _version_path(ref)
    await view.api.delete(f"/llmos/v1/models/{model}/aliases/{alias}")
    return view.redirect(_version_path(ref), view.t("models.alias_removed", alias=f"{model}:{alias}"))


@PAGE.post("/{ref}/labels")
async def change_labels(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = _version_path(ref)
    before = await view.api.read(LabelsDescription, f"/llmos/v1/models/{ref}/labels")
    await view.api.patch(f"/llmos/v1/models/{ref}/labels", changed_labels(form, before.tags))
    return view.redirect(_version_path(ref), view.t("models.labels_set", version=ref))


@PAGE.post("/{ref}/signatures")
async def add_signature(view: View) -> Response:
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = _version_path(ref)
    await view.api.post(f"/llmos/v1/models/{ref}/signatures", {"signature": form.get("signature", "").strip()})
    return view.redirect(_version_path(ref), view.t("models.signature_added", version=ref))


@PAGE.post("/{ref}/remove")
async def remove_version(view: View) -> Response:
    await view.form()
    ref = view.request.path_params["ref"]
    view.form_came_from = _version_path(ref)
    removed: Any = await view.api.delete(f"/llmos/v1/models/{ref}")
    return view.redirect("/models", view.t("models.removed", name=ref, size=view.t.size(removed["freed_bytes"])))


async def _jobs(view: View) -> list[JobDescription]:
    """Return the downloads and imports that run, and of the others the newest that didn't succeed."""
    if not view.may("jobs:read"):
        return []
    jobs = [
        job
        for kind in ("pull", "model_import")
        for job in await view.api.list(JobDescription, "/llmos/v1/jobs", kind=kind, limit=_MAX_JOBS)
    ]
    jobs.sort(key=lambda job: str(job.created_at), reverse=True)
    running = [job for job in jobs if job.state in ("queued", "running")]
    newest = jobs[:1] if jobs and jobs[0].state in ("failed", "interrupted") else []
    return running or newest


async def _card(view: View, ref: str) -> CardDescription | None:
    try:
        return await view.api.read(CardDescription, f"/llmos/v1/models/{ref}/card")
    except NotFound:
        return None
