"""The calls about applications and their Versions: what each sends and how its reply is read."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

from llmos.client.call import Call, DownloadCall, read_each, read_one
from llmos.client.naming_calls import name_path
from llmos.core.app_files import pack_folder, unpack_into
from llmos.core.schemas.apps import AppDescription, AppDifference, AppVersionDescription
from llmos.core.schemas.models import RemovalDescription

ROOT = "/llmos/v1/apps"


def create_app(folder: Path | str, environment: str = "") -> Call[AppVersionDescription]:
    return Call(
        method="POST",
        path=in_environment(ROOT, environment),
        content=pack_folder(Path(folder)),
        headers={"Content-Type": "application/x-tar"},
        read=read_one(AppVersionDescription),
    )


def in_environment(path: str, environment: str) -> str:
    return f"{path}?{urlencode({'environment': environment})}" if environment else path


def list_apps() -> Call[list[AppDescription]]:
    return Call(method="GET", path=ROOT, read=read_each(AppDescription))


def get_app(name: str) -> Call[AppVersionDescription]:
    return Call(method="GET", path=name_path(ROOT, name), read=read_one(AppVersionDescription))


def download_files(name: str) -> DownloadCall:
    return DownloadCall(path=f"{name_path(ROOT, name)}/files")


def write_files(pieces: Iterable[bytes], folder: Path | str) -> Path:
    """Write the files of an archive into a new folder, and return it. Raises BadRequest for one that has files."""
    return unpack_into(b"".join(pieces), Path(folder))


def compare_apps(older: str, newer: str) -> Call[AppDifference]:
    path = f"{name_path(ROOT, older)}/diff?{urlencode({'to': newer})}"
    return Call(method="GET", path=path, read=read_one(AppDifference))


def remove_app(name: str) -> Call[RemovalDescription]:
    return Call(method="DELETE", path=name_path(ROOT, name), read=read_one(RemovalDescription))
