"""hf:owner/name@revision#file: a repository on the Hugging Face hub, or on the mirror in HF_ENDPOINT.

The revision is a branch, a tag or a commit; a pinned location names the commit. The file is one of those in the
repository, where one has to be chosen. Source: https://huggingface.co/docs/hub/api.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx

from llmos.core.byte_progress import report_bytes
from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed
from llmos.core.names import check_file_name
from llmos.core.progress import Progress
from llmos.core.sources import Access, Download, Fetched, Selection
from llmos.core.sources._download import TIMEOUT, HttpDownload, get_json, partial_size
from llmos.core.store.blob_files import digest_of
from llmos.core.store.staging import StagingArea

_LOCATION = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?:#(?P<file>[\w./ -]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_files(location: str, downloads: Sequence[Download], access: Access, progress: Progress) -> None:
    """Download files of the repository. Raises DownloadFailed."""
    match = _parse(location)
    with _client(access) as client:
        base_url = _base_url(access, match["repository"], match["revision"] or "main")
        for download in downloads:
            file, url = download.file, f"{base_url}/{quote(download.path)}"
            on_bytes = report_bytes(progress, file.name, file.size)
            HttpDownload(client, url, download.part, file.size, on_bytes, partial(_check_digest, download)).run()


def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Download the selected files of the repository, except those whose verified blobs are in the store.

    Raises BadRequest where a file has to be chosen, DownloadFailed, BadModelFile for other bytes than the hub lists,
    and what the selection raises.
    """
    match = _parse(location)
    repository = match["repository"]
    with _client(access) as client:
        progress(f"reading the file list of {repository}", 0, None)
        kind = selection.hub_kind
        listing = _fetch_listing(client, f"{access.hf_endpoint}/api/{kind}/{repository}", match["revision"] or "main")
        commit, listed = listing.commit, listing.files
        names = selection.select(list(listed), f"hf:{repository}", match["file"])
        files = {name: path for name in names if (path := listed[name].find_stored(staging)) is not None}
        parts = {name: staging.part_path(f"{commit}/{name}") for name in names if name not in files}
        num_present = sum(map(partial_size, parts.values()))
        staging.check_room(sum(listed[name].size for name in parts) - num_present, repository)
        for name, part in parts.items():
            url, size = f"{_base_url(access, repository, commit, kind)}/{quote(name)}", listed[name].size
            HttpDownload(client, url, part, size, report_bytes(progress, name, size)).run()
            listed[name].check(name, part)
    pinned = f"hf:{repository}@{commit}" + (f"#{match['file']}" if match["file"] else "")
    return Fetched(location=pinned, files={**files, **parts}, license=listing.license)


@dataclass(frozen=True, slots=True)
class _HubFile:
    """A file in the hub's listing."""

    size: int
    sha256: str | None
    """Hexadecimal, of a file in Git LFS; None for small files."""
    git_id: str | None
    """The id of the git blob."""

    def find_stored(self, staging: StagingArea) -> Path | None:
        """Return the path of the same bytes in the store, or None; always None for small files."""
        return staging.find_verified(f"sha256:{self.sha256}") if self.sha256 is not None else None

    def check(self, name: str, part: Path) -> None:
        """Raise BadModelFile, and delete the file, where its bytes are not those that the hub lists."""
        if self.sha256 is not None:
            expected, actual = f"sha256:{self.sha256}", digest_of(part)
        elif self.git_id is not None:
            content = part.read_bytes()
            git_blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            expected, actual = f"git:{self.git_id}", f"git:{git_blob.hexdigest()}"
        else:
            return
        if actual != expected:
            part.unlink()
            raise BadModelFile(f"{name} arrived as {actual}, but the hub lists {expected}. It was deleted; try again.")


@dataclass(frozen=True, slots=True)
class _Listing:
    """The files of a repository at one commit."""

    commit: str
    files: dict[str, _HubFile]
    license: str | None
    """The license in the model card."""


def _fetch_listing(client: httpx.Client, repository_url: str, revision: str) -> _Listing:
    url = f"{repository_url}/revision/{quote(revision, safe='')}"
    answer = get_json(client, url, params={"blobs": "true"}, hint="set HF_TOKEN if it is a gated model")
    commit, siblings = answer.get("sha"), answer.get("siblings")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(siblings, list):
        raise DownloadFailed(f"{url} is not the file list of a repository")
    files = {}
    for sibling in siblings:
        name, size = sibling.get("rfilename"), sibling.get("size")
        lfs = sibling.get("lfs") or {}
        if isinstance(name, str) and isinstance(size, int) and size >= 0:
            files[check_file_name(name)] = _HubFile(size, lfs.get("sha256"), sibling.get("blobId"))
    card = answer.get("cardData") or {}
    return _Listing(commit, files, card.get("license") if isinstance(card.get("license"), str) else None)


def _parse(location: str) -> re.Match[str]:
    if (match := _LOCATION.fullmatch(location)) is None:
        raise BadRequest(f"{location!r} is not a hub location; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")
    return match


def _client(access: Access) -> httpx.Client:
    headers = {"Authorization": f"Bearer {access.hf_token}"} if access.hf_token else {}
    return httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers)


def _base_url(access: Access, repository: str, revision: str, kind: str = "models") -> str:
    folder = "" if kind == "models" else f"{kind}/"
    return f"{access.hf_endpoint}/{folder}{repository}/resolve/{quote(revision, safe='')}"


def _check_digest(download: Download, response: httpx.Response) -> None:
    """Raise DownloadFailed where the hub's headers announce other bytes, before any of them is read."""
    for answer in (*response.history, response):
        etag = answer.headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", etag) and f"sha256:{etag}" != download.file.digest:
            raise DownloadFailed(
                f"{download.path} is sha256:{etag} on the hub; the catalog pins {download.file.digest}"
            )
