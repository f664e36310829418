"""The checks that a running server makes of itself. They read no file of the store: that takes minutes.

`llmos doctor` compares each file with its digest, and so does a job of the kind verify.
"""

from collections.abc import Callable, Iterable

from llmos.core.config import Settings
from llmos.core.errors import LLMOSError
from llmos.core.schemas.doctor import DoctorReport, Finding
from llmos.core.sizes import readable_size
from llmos.data.plain_data import PlainData
from llmos.gateway.doctor import machine
from llmos.gateway.doctor.installation import check_tls, encryption_findings, exposed_in, home_findings
from llmos.gateway.jobs.waking import is_locked
from llmos.gateway.services import Services

_MACHINE = (
    machine.check_python,
    machine.check_cpu,
    machine.check_memory,
    machine.check_engine,
    machine.check_code_sandbox,
)


def examine_server(services: Services) -> DoctorReport:
    """Return what the checks find. Nothing is changed."""
    settings, data = services.settings, services.data
    checks: list[Callable[[], Iterable[Finding]]] = [
        *(lambda check=check: check(settings) for check in _MACHINE),
        lambda: home_findings(settings.home, exposed_in(settings.home)),
        lambda: check_tls(settings),
        lambda: _store_findings(services),
        lambda: job_findings(settings),
        lambda: encryption_findings(data.files.encryption, PlainData(services.data.files, services.data.datasets)),
    ]
    findings = [finding for check in checks for finding in check()]
    return DoctorReport(ok=all(finding.ok for finding in findings), findings=findings)


def job_findings(settings: Settings) -> Iterable[Finding]:
    """Say whether some process runs batches and jobs."""
    if is_locked(settings.jobs_path):
        yield Finding("jobs", True, "a process runs batches and jobs")
    else:
        advice = "Start one: llmos worker, or a server without --without-jobs."
        yield Finding("jobs", False, "no process runs batches and jobs: they wait", advice)


def _store_findings(services: Services) -> Iterable[Finding]:
    """Count what the database and the store have, and which files of versions are missing."""
    registry = services.registry
    try:
        versions = registry.list()
        sizes = dict(registry.store.digests())
    except LLMOSError as error:
        yield Finding("database", False, error.message)
        return
    where = registry.database.url.render_as_string(hide_password=True)
    yield Finding("database", True, f"{where}, versions: {len(versions)}")
    missing = [(version.ref, file.name) for version in versions for file in version.files if file.digest not in sizes]
    for ref, name in missing:
        yield Finding("store", False, f"{name} of {ref} is missing", "llmos doctor --store says how to get it again.")
    if not missing:
        found = f"files: {len(sizes)}, {readable_size(sum(sizes.values()))}"
        yield Finding("store", True, found, "Their digests: llmos doctor --store")
    for path, num_bytes in registry.store.unfinished():
        found = f"an incomplete download of {readable_size(num_bytes)}: {path}"
        yield Finding("store", True, found, "`llmos pull` continues it; or delete the file.")
