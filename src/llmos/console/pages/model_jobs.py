"""The work on one Version: quantize, prune, measure, verify, push and encrypt it, as jobs that are found again."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.forms import decimal_number, whole_number
from llmos.console.page import Fragments, Page
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import ModelDescription

PAGE = Page(name="models", path="/models", permission="jobs:read", in_navigation=False, home="/models")

QUANTIZE_SCHEMES = ("gptq", "awq", "minmax", "absmax", "q8_0", "q4_1", "q4_0")
PRUNE_SCHEMES = ("magnitude", "wanda", "structured")
SIMPLE_KINDS = ("card", "verify", "encrypt")
"""Jobs that need nothing but the Version."""

_WHOLE = ("bits", "group", "layers", "kv_heads")
_SHARES = ("sparsity", "ffn_share")
_CHOICES = ("per", "pattern")
_MAX_READ, _MAX_SHOWN = 200, 8


@PAGE.get("/{ref}/jobs")
async def show_jobs(view: View) -> Response:
    model = await _model(view)
    ref = model.version
    if ref != view.request.path_params["ref"]:  # Jobs say the Version, whichever name was used.
        return view.redirect(f"/models/{ref}/jobs")
    return view.render(
        "model_jobs.html",
        ref=ref,
        jobs=await _jobs(view, ref),
        may_start=view.may("models:write") and view.may("jobs:write"),
        may_encrypt=view.may("encryption:write") and view.may("jobs:write"),
        may_verify=view.may("jobs:write"),
        quantize_schemes=QUANTIZE_SCHEMES,
        prune_schemes=PRUNE_SCHEMES,
        code=code.changing(
            "POST",
            f"llmos quantize {ref} --scheme gptq --bits 4",
            "/llmos/v1/jobs",
            {"kind": "quantize", "model": ref, "scheme": "gptq", "options": {"bits": 4}},
            f'job = client.jobs.start("quantize", model="{ref}", scheme="gptq", options={{"bits": 4}})\n'
            "for state in client.jobs.follow(job.id):\n    print(state.progress)",
        ),
    )


@PAGE.live("/{ref}/jobs")
async def watch_jobs(view: View) -> Fragments:
    ref = view.request.path_params["ref"]
    return {"jobs": view.html("model_jobs_list.html", jobs=await _jobs(view, ref), ref=ref)}


@PAGE.post("/{ref}/jobs/make")
async def make(view: View) -> Response:
    """Quantize or prune."""
    form, ref = await _change(view)
    kind = "prune" if form.get("kind") == "prune" else "quantize"
    options: dict[str, Any] = {name: whole_number(view, form, name, 0) for name in _WHOLE if form.get(name, "").strip()}
    options |= {name: decimal_number(view, form[name]) / 100 for name in _SHARES if form.get(name, "").strip()}
    options |= {name: form[name] for name in _CHOICES if form.get(name, "").strip()}
    body: dict[str, Any] = {
        "kind": kind,
        "model": ref,
        "scheme": form.get("scheme", ""),
        "options": options,
        "card": "card" in form,
    }
    if name := form.get("name", "").strip():
        body["name"] = name
    if text := form.get("calibration", "").strip():
        body["calibration"] = text
    await view.api.post("/llmos/v1/jobs", body)
    return view.redirect(view.form_came_from, view.t("model_jobs.started", kind=view.t.of("job", kind)))


@PAGE.post("/{ref}/jobs/start")
async def start(view: View) -> Response:
    form, ref = await _change(view)
    kind = form.get("kind", "")
    if kind not in SIMPLE_KINDS:
        raise BadRequest(view.t("model_jobs.no_kind"))
    body = {"kind": kind, "model": ref}
    if kind == "verify" and (key := form.get("key", "").strip()):
        body["key"] = key + "\n"
    await view.api.post("/llmos/v1/jobs", body)
    return view.redirect(view.form_came_from, view.t("model_jobs.started", kind=view.t.of("job", kind)))


@PAGE.post("/{ref}/jobs/push")
async def push(view: View) -> Response:
    form, ref = await _change(view)
    body = {"kind": "push", "model": ref, "target": form.get("target", "").strip()}
    if base := form.get("base", "").strip():
        body["base"] = base
    await view.api.post("/llmos/v1/jobs", body)
    return view.redirect(view.form_came_from, view.t("model_jobs.started", kind=view.t.of("job", "push")))


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    """Return the fields of a form, and the Version."""
    form, ref = await view.form(), view.request.path_params["ref"]
    view.form_came_from = f"/models/{ref}/jobs"
    return form, ref


async def _model(view: View) -> ModelDescription:
    ref = view.request.path_params["ref"]
    return await view.api.read(ModelDescription, f"/llmos/v1/models/{ref}")


async def _jobs(view: View, ref: str) -> list[JobDescription]:
    """Return the newest jobs that are about a Version."""
    jobs = await view.api.list(JobDescription, "/llmos/v1/jobs", limit=_MAX_READ)
    return [job for job in jobs if ref in _about(job)][:_MAX_SHOWN]


def _about(job: JobDescription) -> set[Any]:
    return {job.request.get("model"), (job.result or {}).get("version")}
