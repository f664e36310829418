"""llmos doctor: check this machine and this installation.

A check is a function that returns Findings; CHECKS lists them in the order of the output.
"""

import os
import socket
from collections.abc import Callable, Iterable
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from llmos.cli import options
from llmos.cli.doctor_store import doctor_store
from llmos.cli.finding import Finding, mark
from llmos.cli.output import print_json, readable_size, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import Settings, load_settings
from llmos.core.errors import BadRequest, LLMOSError
from llmos.gateway.doctor.installation import check_encryption, check_home, check_tls
from llmos.gateway.doctor.machine import check_code_sandbox, check_cpu, check_engine, check_memory, check_python

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    store: Annotated[
        bool,
        typer.Option("--store", help="Check only the store and the packed weights: damaged and unneeded files."),
    ] = False,
    set_aside: Annotated[
        bool,
        typer.Option(
            "--set-aside", help="With --store: move damaged files away, so that they can be downloaded again."
        ),
    ] = False,
    collect: Annotated[bool, typer.Option("--collect", help="With --store: delete unneeded files.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check this machine and this installation. Each line is ok or says what to do."""
    if store:
        doctor_store([*check_packed(load_settings())], set_aside=set_aside, collect=collect, as_json=as_json)
        return
    if set_aside or collect:
        raise BadRequest("--set-aside and --collect need --store: llmos doctor --store --set-aside")
    settings = load_settings()
    findings = [finding for check in CHECKS for finding in check(settings)]
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            line = mark(ok=finding.ok) + Text(f"{finding.check:<10} ", style="bold") + Text(finding.found)
            stdout().print(line + Text(f"  → {finding.advice}" if finding.advice else ""))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def check_port(settings: Settings) -> Iterable[Finding]:
    url = urlsplit(settings.endpoint)
    host, port = url.hostname or "127.0.0.1", url.port or (443 if url.scheme == "https" else 80)
    where = f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        if host in _LOOPBACK:
            yield Finding("port", True, f"{where} is free for `llmos serve`")
        else:
            yield Finding(
                "port", False, f"{where} doesn't answer ({error})", "Start the server, or unset LLMOS_ENDPOINT."
            )
        return
    if _answers_as_llmos(settings.endpoint):
        yield Finding("port", True, f"an LLMOS server answers at {settings.endpoint}")
    else:
        yield Finding(
            "port", False, f"{where} is used by another program", f"Choose another port: llmos serve --port {port + 1}"
        )


def check_store(settings: Settings) -> Iterable[Finding]:
    """Read every blob and compare it with its digest."""
    from llmos.core.store.blobs_in_use import blob_users, digests_in_use
    from llmos.models import open_registry
    from llmos.models.inspection import how_to_repair

    try:
        registry = open_registry(settings)
        versions = registry.list()
    except LLMOSError as error:
        yield Finding("database", False, error.message)
        return
    yield Finding(
        "database", True, f"{registry.database.url.render_as_string(hide_password=True)}, versions: {len(versions)}"
    )

    used = digests_in_use(registry.database)
    sizes = {digest: size for digest, size in registry.store.digests() if digest in used}
    total = sum(sizes.values())
    with progress_bar() as progress:
        problems = registry.store.verify(sorted(used), lambda num_done: progress("reading the store", num_done, total))
    reasons = {problem.digest: problem.reason for problem in problems}
    for version in versions:
        for file in version.files:
            if file.digest in reasons:
                yield Finding(
                    "store",
                    False,
                    f"{file.name} of {version.ref} {reasons[file.digest]}",
                    f"llmos doctor --store --set-aside, then: {how_to_repair(registry, version)}",
                )
    for digest in reasons.keys() - {file.digest for version in versions for file in version.files}:
        users = blob_users(registry.database, [digest]).get(digest, ())
        found = f"{digest} of {', '.join(users)} {reasons[digest]}"
        yield Finding(
            "store",
            False,
            found,
            "llmos doctor --store --set-aside, then make the same again: rows, documents, a prompt or an app.",
        )
    if not problems:
        yield Finding("store", True, f"files: {len(sizes)}, {readable_size(sum(sizes.values()))}, all digests match")
    for path, num_bytes in registry.store.unfinished():
        found = f"an incomplete download of {readable_size(num_bytes)}: {path}"
        yield Finding("store", True, found, "`llmos pull` continues it; or delete the file.")


def check_packed(settings: Settings) -> Iterable[Finding]:
    """Read every file of packed weights and compare it with its digest. Loading checks only the footer."""
    if not os.path.isdir(settings.packed_path):  # Path.is_dir raises PermissionError; check_home reports that.
        return
    from llmos.engine.packed_file import packed_files, verify

    count = num_bytes = 0
    for path, found in packed_files(settings.packed_path):
        try:
            problem = verify(path)
        except OSError as error:
            problem = str(error.strerror)
        if problem is not None:
            yield Finding("packed", False, f"{path}: {problem}", f"rm {path}; the next load packs the weights again.")
        elif found is not None:
            count, num_bytes = count + 1, num_bytes + found.num_bytes
    files = "1 file" if count == 1 else f"{count} files"
    yield Finding("packed", True, f"{files} of packed weights, {readable_size(num_bytes)}, all digests match")


CHECKS: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
    check_python,
    check_cpu,
    check_memory,
    check_engine,
    check_code_sandbox,
    check_port,
    check_home,
    check_tls,
    check_store,
    check_encryption,
    check_packed,
)


def _answers_as_llmos(endpoint: str) -> bool:
    import httpx

    from llmos.client.connection import trusted_certificates
    from llmos.client.endpoint import resolve_endpoint

    try:
        trusted = trusted_certificates(resolve_endpoint(endpoint))
        # Not through a proxy: the question is which program uses the port of this machine.
        return httpx.get(f"{endpoint}/health/live", timeout=2, trust_env=False, verify=trusted).status_code == 200
    except (httpx.HTTPError, LLMOSError):
        return False
