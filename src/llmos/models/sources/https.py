"""https://host/folder: each file of a catalog entry lies below it under its path.

https://host/model.gguf is a model that no catalog knows, one file. #sha256=… behind it pins its bytes.
"""

import re
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote, unquote, urlsplit

import httpx

from llmos.core.errors import BadModelFile, BadRequest
from llmos.models.names import check_file_name
from llmos.models.sources import Access, Gathered, Progress, Wanted
from llmos.models.sources._download import TIMEOUT, download, size_at
from llmos.models.store import Arrivals, digest_of

_PIN = re.compile(r"sha256=[0-9a-f]{64}")


def fetch(location: str, wanted: Sequence[Wanted], access: Access, progress: Progress) -> None:
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for one in wanted:
            url = f"{location.rstrip('/')}/{quote(one.path)}"
            on_bytes = partial(_report, progress, one)
            download(client, url, one.part, one.file.size, on_bytes)


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    url, _, pin = location.partition("#")
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not name.endswith(".gguf"):
        raise BadRequest(f"{url} names no GGUF file. A folder can't be listed over https: use hf:, s3: or oci:.")
    if pin and not _PIN.fullmatch(pin):
        raise BadRequest(f"#{pin} pins no bytes; write #sha256= and 64 hexadecimal digits.")
    if pin and (stored := arrivals.sound(pin.replace("=", ":"))) is not None:
        return Gathered(location=location, files={check_file_name(name): stored})
    part = arrivals.part(url)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        size = size_at(client, url)
        arrivals.check_room(size - (part.stat().st_size if part.exists() else 0), name)
        download(client, url, part, size, lambda num_done: progress(name, num_done, size))
    digest = digest_of(part)
    if pin and pin != digest.replace(":", "="):
        part.unlink()
        raise BadModelFile(f"{url} holds {digest}, but {pin} was asked for. It was thrown away.")
    return Gathered(location=f"{url}#{digest.replace(':', '=')}", files={check_file_name(name): part})


def _report(progress: Progress, one: Wanted, num_done: int) -> None:
    progress(one.file.name, num_done, one.file.size)
