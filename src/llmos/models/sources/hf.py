"""hf:owner/name@revision#file: a repository of the Hugging Face hub, or of the mirror that HF_ENDPOINT names.

A revision is a branch, a tag or a commit, and pinned to the commit that it is. The file is one of several GGUF files.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx

from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed
from llmos.models.names import check_file_name
from llmos.models.sources import Access, Gathered, Progress, Wanted
from llmos.models.sources._download import TIMEOUT, download, get_json
from llmos.models.store import Arrivals, digest_of
from llmos.models.transfer.importing import choose_files

_LOCATION = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?:#(?P<file>[\w./ -]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    match = _parsed(location)
    with _client(access) as client:
        folder = _folder(access, match["repository"], match["revision"] or "main")
        for one in wanted:
            download(
                client,
                f"{folder}/{quote(one.path)}",
                one.part,
                one.file.size,
                partial(_told, progress, one.file.name, one.file.size),
                check=partial(_check_digest, one),
            )


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    match = _parsed(location)
    repository = match["repository"]
    with _client(access) as client:
        progress(f"asking the hub for {repository}", 0, None)
        commit, offered, license = _listing(client, access, repository, match["revision"] or "main")
        names = choose_files(list(offered), f"hf:{repository}", match["file"])
        files = {name: path for name in names if (path := offered[name].stored_in(arrivals)) is not None}
        parts = {name: arrivals.part(f"{commit}/{name}") for name in names if name not in files}
        num_arrived = sum(part.stat().st_size for part in parts.values() if part.exists())
        arrivals.check_room(sum(offered[name].size for name in parts) - num_arrived, repository)
        for name, part in parts.items():
            one = offered[name]
            url = f"{_folder(access, repository, commit)}/{quote(name)}"
            download(client, url, part, one.size, partial(_told, progress, name, one.size))
            one.check(name, part)
    pinned = f"hf:{repository}@{commit}" + (f"#{match['file']}" if match["file"] else "")
    return Gathered(location=pinned, files={**files, **parts}, license=license)


@dataclass(frozen=True, slots=True)
class _Offered:
    """A file, as the hub lists it."""

    size: int
    sha256: str | None
    """Of a large file."""
    git_id: str | None
    """Of any other: git's name of its content."""

    def stored_in(self, arrivals: Arrivals) -> Path | None:
        """Where the same bytes lie already. Of small files the hub names no sha256."""
        return arrivals.sound(f"sha256:{self.sha256}") if self.sha256 is not None else None

    def check(self, name: str, part: Path) -> None:
        """Raises BadModelFile, and removes the part, where other bytes arrived than the hub lists."""
        if self.sha256 is not None:
            wanted, got = f"sha256:{self.sha256}", digest_of(part)
        elif self.git_id is not None:
            content = part.read_bytes()
            named = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            wanted, got = f"git:{self.git_id}", f"git:{named.hexdigest()}"
        else:
            return
        if got != wanted:
            part.unlink()
            raise BadModelFile(f"{name} arrived as {got}, but the hub lists {wanted}. It was thrown away; try again.")


def _listing(
    client: httpx.Client, access: Access, repository: str, revision: str
) -> tuple[str, dict[str, _Offered], str | None]:
    """Return the commit that the revision is, the files there, and the licence that the card names."""
    url = f"{access.hf_endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}"
    answer = get_json(client, url, params={"blobs": "true"}, hint="set HF_TOKEN if it is a gated model")
    commit, siblings = answer.get("sha"), answer.get("siblings")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(siblings, list):
        raise DownloadFailed(f"{url} is no listing of a repository")
    offered = {}
    for sibling in siblings:
        name, size = sibling.get("rfilename"), sibling.get("size")
        large = sibling.get("lfs") or {}
        if isinstance(name, str) and isinstance(size, int) and size >= 0:
            offered[check_file_name(name)] = _Offered(size, large.get("sha256"), sibling.get("blobId"))
    card = answer.get("cardData") or {}
    return commit, offered, card.get("license") if isinstance(card.get("license"), str) else None


def _parsed(location: str) -> re.Match[str]:
    if (match := _LOCATION.fullmatch(location)) is None:
        raise BadRequest(f"{location!r} is not a hub location; one reads hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")
    return match


def _client(access: Access) -> httpx.Client:
    headers = {"Authorization": f"Bearer {access.hf_token}"} if access.hf_token else {}
    return httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers)


def _folder(access: Access, repository: str, revision: str) -> str:
    return f"{access.hf_endpoint}/{repository}/resolve/{quote(revision, safe='')}"


def _check_digest(one: Wanted, response: httpx.Response) -> None:
    """The hub names the sha256 of a large file before it sends it: other bytes are not even fetched."""
    for answer in (*response.history, response):
        etag = answer.headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", etag) and f"sha256:{etag}" != one.file.digest:
            raise DownloadFailed(f"{one.path} is sha256:{etag} there, but the catalog pins {one.file.digest}")


def _told(progress: Progress, name: str, size: int, num_done: int) -> None:
    progress(name, num_done, size)
