"""llmos doctor: check this machine and this installation.

A check is a function that returns Findings; CHECKS lists them in the order of the output.
"""

import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from llmos.cli import options
from llmos.cli.doctor_store import doctor_store
from llmos.cli.finding import Finding, mark
from llmos.cli.output import print_json, readable_size, stdout
from llmos.cli.progress import progress_bar
from llmos.core.clock import utc_now
from llmos.core.config import Settings, load_settings
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.hardware import inspect_hardware
from llmos.core.home import make_private_home, too_open

_ENOUGH_MEMORY_BYTES = 1_000_000_000
_ENOUGH_DISK_BYTES = 1_000_000_000
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
        typer.Option("--set-aside", help="With --store: move damaged files away, to get them again."),
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
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            line = mark(ok=finding.ok) + Text(f"{finding.check:<10} ", style="bold") + Text(finding.found)
            stdout().print(line + Text(f"  → {finding.advice}" if finding.advice else ""))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def check_python(settings: Settings) -> Iterable[Finding]:
    yield Finding("python", True, f"{sys.version.split()[0]}, {sys.executable}")


def check_cpu(settings: Settings) -> Iterable[Finding]:
    hardware = inspect_hardware()
    best = hardware.isas[0]
    found = f"{hardware.cpu}, {hardware.num_cores} cores, kernels: {', '.join(hardware.isas)}"
    if settings.isa is not None and settings.isa not in hardware.isas:
        yield Finding("cpu", False, found, f"LLMOS_ISA is {settings.isa}, which this CPU doesn't support. Unset it.")
    elif best == "portable":
        yield Finding("cpu", True, found, "It works, but slowly: a CPU with AVX2 is several times faster.")
    else:
        yield Finding("cpu", True, found)


def check_memory(settings: Settings) -> Iterable[Finding]:
    hardware = inspect_hardware()
    found = f"{readable_size(hardware.available_bytes)} free of {readable_size(hardware.memory_bytes)}"
    ok = hardware.available_bytes >= _ENOUGH_MEMORY_BYTES
    needed = readable_size(_ENOUGH_MEMORY_BYTES)
    yield Finding("memory", ok, found, "" if ok else f"Close other programs: even a small model needs {needed}.")


def check_engine(settings: Settings) -> Iterable[Finding]:
    compiler = shutil.which("g++") or shutil.which("c++")
    try:
        import_module("llmos.engine._native")
    except ImportError as error:
        yield Finding("engine", False, f"the native engine can't be loaded: {error}", "Build it: make setup")
        if compiler is None:
            yield Finding("compiler", False, "no C++ compiler found", "Install one: apt-get install g++ make")
    else:
        yield Finding("engine", True, "the native engine loads")
    if compiler is not None:
        yield Finding("compiler", True, compiler)


def check_code_sandbox(settings: Settings) -> Iterable[Finding]:
    """Test whether code that models write can be run. Only the application `code` needs that."""
    from llmos.applications.code.sandbox import NoSandbox
    from llmos.applications.code.sandbox.running import check_sandbox

    try:
        check_sandbox()
    except NoSandbox as error:
        yield Finding("sandbox", True, "none: the application `code` runs nothing", error.message)
    else:
        yield Finding("sandbox", True, "bubblewrap keeps in code that models write")


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


def check_home(settings: Settings) -> Iterable[Finding]:
    home = settings.home
    exposed = [(path, stat.S_IMODE(path.stat().st_mode)) for path in too_open(home)]
    try:
        make_private_home(home)
        free = shutil.disk_usage(home).free
    except LLMOSError as error:
        yield Finding("home", False, error.message)
        return
    except OSError as error:
        yield Finding("home", False, f"{home}: {error.strerror}", "Choose another LLMOS_HOME.")
        return
    found = f"{home}, {readable_size(free)} free"
    if free < _ENOUGH_DISK_BYTES:
        yield Finding("home", False, found, "Free disk space, or choose another LLMOS_HOME.")
    else:
        yield Finding("home", True, found)
    yield from _check_private(home, exposed)


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


def check_encryption(settings: Settings) -> Iterable[Finding]:
    """Open the key ring with the master key, and count what isn't encrypted."""
    from llmos.core.encryption.opening import open_encryption
    from llmos.data.datasets.datasets import Datasets
    from llmos.data.files import Files
    from llmos.data.plain_data import PlainData
    from llmos.models import open_registry

    try:
        registry = open_registry(settings)
        database = registry.database
        encryption = open_encryption(settings, database)
        if encryption.ring.is_new() and not encryption.has_objects():
            yield Finding("encryption", True, "no master key yet: the first start of the server makes it")
            return
        encryption.start()
        where = f"{encryption.ring.masters.where} opens the key ring {encryption.ring.where}"
        files, datasets = Files(database, settings.files_path, encryption), Datasets(database, registry.store)
        num_plain = PlainData(files, datasets).count()
    except LLMOSError as error:
        yield Finding("encryption", False, error.message)
        return
    if num_plain:
        found = f"{where}; not encrypted: {num_plain} responses, files and segments of datasets of an earlier version"
        yield Finding("encryption", False, found, "Run: llmos encryption encrypt")
    else:
        yield Finding("encryption", True, where)


def check_tls(settings: Settings) -> Iterable[Finding]:
    """Report certificates that a server couldn't use, or soon can't."""
    from llmos.security.tls_certificates import RENEW_BEFORE, check_pair

    pairs = []
    if settings.tls_cert is not None or settings.tls_key is not None:
        if settings.tls_cert is None or settings.tls_key is None:
            yield Finding("tls", False, "only one of LLMOS_TLS_CERT and LLMOS_TLS_KEY is set", "Set both, or none.")
        else:
            pairs.append((settings.tls_cert, settings.tls_key, "Renew it, then: kill -HUP the server."))
    own = settings.self_signed_certificate_path
    if os.path.exists(own):  # Path.exists raises PermissionError; check_home reports that.
        advice = "`llmos serve --tls-self-signed` makes a new one when it starts, or on SIGHUP."
        pairs.append((own, settings.self_signed_key_path, advice))
    for certificate, key, advice in pairs:
        try:
            found = check_pair(certificate, key)
        except BadRequest as error:
            yield Finding("tls", False, error.message, advice)
            continue
        is_soon = found.expires_at - utc_now() <= RENEW_BEFORE
        text = f"{certificate} is valid until {found.expires_at:%Y-%m-%d}"
        yield Finding("tls", not is_soon, text, advice if is_soon else "")
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            yield Finding("tls", False, f"{key} can be read by other users", f"chmod 600 {key}")


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


def _check_private(home: Path, exposed: Sequence[tuple[Path, int]]) -> Iterable[Finding]:
    """Report what others could read in LLMOS_HOME, with the modes before they were mended."""
    still = set(too_open(home))
    for path, mode in exposed:
        advice = f"chmod go-rwx {path}" if path in still else "Others can't any more. Replace what they may have read."
        yield Finding("private", False, f"{path} could be read by other users (mode {mode:o})", advice)
    if not exposed:
        yield Finding("private", True, f"only you can read {home}")


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
