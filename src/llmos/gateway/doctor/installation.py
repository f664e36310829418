"""Checks of the installation: its folder, certificates, and the keys that encrypt what is kept."""

import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.clock import utc_now
from llmos.core.config import Settings
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.home import make_private_home, too_open
from llmos.core.schemas.doctor import Finding
from llmos.core.sizes import readable_size

if TYPE_CHECKING:
    from llmos.core.encryption.encryption import Encryption
    from llmos.data.plain_data import PlainData

_ENOUGH_DISK_BYTES = 1_000_000_000


def check_home(settings: Settings) -> Iterable[Finding]:
    """Take the permissions of others from LLMOS_HOME first, as every start of the server does."""
    exposed = exposed_in(settings.home)
    try:
        make_private_home(settings.home)
    except LLMOSError as error:
        yield Finding("home", False, error.message)
        return
    except OSError as error:
        yield Finding("home", False, f"{settings.home}: {error.strerror}", "Choose another LLMOS_HOME.")
        return
    yield from home_findings(settings.home, exposed)


def exposed_in(home: Path) -> Sequence[tuple[Path, int]]:
    """Return what others could read, with its mode."""
    return [(path, stat.S_IMODE(path.stat().st_mode)) for path in too_open(home)]


def home_findings(home: Path, exposed: Sequence[tuple[Path, int]]) -> Iterable[Finding]:
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        yield Finding("home", False, f"{home}: {error.strerror}", "Choose another LLMOS_HOME.")
        return
    is_enough = free >= _ENOUGH_DISK_BYTES
    advice = "" if is_enough else "Free disk space, or choose another LLMOS_HOME."
    yield Finding("home", is_enough, f"{home}, {readable_size(free)} free", advice)
    yield from _private_findings(home, exposed)


def _private_findings(home: Path, exposed: Sequence[tuple[Path, int]]) -> Iterable[Finding]:
    """Report what others could read in LLMOS_HOME, with the modes before they were mended."""
    still = set(too_open(home))
    for path, mode in exposed:
        advice = f"chmod go-rwx {path}" if path in still else "Others can't any more. Replace what they may have read."
        yield Finding("private", False, f"{path} could be read by other users (mode {mode:o})", advice)
    if not exposed:
        yield Finding("private", True, f"only you can read {home}")


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
        files, datasets = Files(database, settings.files_path, encryption), Datasets(database, registry.store)
        yield from encryption_findings(encryption, PlainData(files, datasets))
    except LLMOSError as error:
        yield Finding("encryption", False, error.message)


def encryption_findings(encryption: "Encryption", plain: "PlainData") -> Iterable[Finding]:
    try:
        if encryption.ring.is_new() and not encryption.has_objects():
            yield Finding("encryption", True, "no master key yet: the first start of the server makes it")
            return
        encryption.start()
        where = f"{encryption.ring.masters.where} opens the key ring {encryption.ring.where}"
        num_plain = plain.count()
    except LLMOSError as error:
        yield Finding("encryption", False, error.message)
        return
    if num_plain:
        found = f"{where}; not encrypted: {num_plain} responses, files and segments of datasets of an earlier version"
        yield Finding("encryption", False, found, "Run: llmos encryption encrypt")
    else:
        yield Finding("encryption", True, where)
