"""The calls about releases of applications: what each sends and how its reply is read."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from llmos.client.app_version_calls import ROOT, in_environment
from llmos.client.call import Call, read_each, read_one
from llmos.core.app_files import pack_folder
from llmos.core.schemas.releases import (
    ReleaseCheckDescription,
    ReleaseDescription,
    ReleaseEventDescription,
    ReleasePlan,
    ReplayDescription,
)


def plan_release(folder: Path | str, environment: str) -> Call[ReleasePlan]:
    return Call(
        method="POST",
        path=in_environment("/llmos/v1/app-plans", environment),
        content=pack_folder(Path(folder)),
        headers={"Content-Type": "application/x-tar"},
        read=read_one(ReleasePlan),
    )


def begin_release(
    name: str, version: int, environment: str, newest_release: int | None, *, at_once: bool, without_evals: bool
) -> Call[ReleaseDescription]:
    body: dict[str, Any] = {"version": version, "environment": environment, "at_once": at_once}
    body |= {"without_evals": True} if without_evals else {}
    if newest_release is not None:
        body["newest_release"] = newest_release
    return Call(method="POST", path=_path(name, "releases"), body=body, read=read_one(ReleaseDescription))


def start_check(name: str, version: int) -> Call[ReleaseCheckDescription]:
    path, read = _path(name, "checks"), read_one(ReleaseCheckDescription)
    return Call(method="POST", path=path, body={"version": version}, read=read)


def get_check(name: str, version: int) -> Call[ReleaseCheckDescription]:
    return Call(method="GET", path=f"{_path(name, 'checks')}?version={version}", read=read_one(ReleaseCheckDescription))


def start_replay(name: str, version: int, max_runs: int) -> Call[ReplayDescription]:
    body = {"version": version, "max_runs": max_runs}
    return Call(method="POST", path=_path(name, "replays"), body=body, read=read_one(ReplayDescription))


def get_replay(name: str, id: str) -> Call[ReplayDescription]:
    return Call(method="GET", path=_path(name, f"replays/{quote(id, safe='')}"), read=read_one(ReplayDescription))


def list_releases(name: str) -> Call[list[ReleaseDescription]]:
    return Call(method="GET", path=_path(name, "releases"), read=read_each(ReleaseDescription))


def list_release_events(name: str) -> Call[list[ReleaseEventDescription]]:
    return Call(method="GET", path=_path(name, "releases/events"), read=read_each(ReleaseEventDescription))


def roll_back_release(name: str, reason: str) -> Call[ReleaseDescription]:
    return Call(method="POST", path=_path(name, "rollback"), body={"reason": reason}, read=read_one(ReleaseDescription))


def _path(name: str, what: str) -> str:
    return f"{ROOT}/{quote(name, safe='')}/{what}"
