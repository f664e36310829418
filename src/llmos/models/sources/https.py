"""https://host/folder: each file lies below it under its path."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import httpx

from llmos.models.sources import Access, Progress, Wanted
from llmos.models.sources._download import TIMEOUT, download


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for one in wanted:
            url = f"{location.rstrip('/')}/{quote(one.path)}"
            on_bytes = partial(_report, progress, one)
            download(client, url, one.part, one.file.size, on_bytes)


def _report(progress: Progress, one: Wanted, num_done: int) -> None:
    progress(one.file.name, num_done, one.file.size)
