"""s3://bucket/folder or s3://bucket/model.gguf: an object store, through fsspec's s3fs (the extra `llmos[s3]`).

Credentials and the endpoint are those of the AWS tools: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL and the rest.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed
from llmos.models.names import check_file_name
from llmos.models.sources import Access, Gathered, Progress
from llmos.models.store import Arrivals
from llmos.models.transfer.importing import choose_files

_CHUNK_BYTES = 4 << 20


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    path = location.removeprefix("s3://").rstrip("/")
    if not location.startswith("s3://") or not path:
        raise BadRequest(f"{location!r} is no place in an object store; one reads s3://BUCKET/FOLDER.")
    store = _file_system()
    files = _asked(path, partial(_objects, store, path))
    folder = path.rpartition("/")[0] if path in files else path
    offered = {check_file_name(key.removeprefix(f"{folder}/")): info for key, info in files.items()}
    names = choose_files(list(offered), location, path.rpartition("/")[2] if path in files else None)
    # The object as it is now: what another one left under its name is nothing to go on from.
    parts = {name: arrivals.part(f"{name} {offered[name].get('ETag')}") for name in names}
    num_arrived = sum(part.stat().st_size for part in parts.values() if part.exists())
    arrivals.check_room(sum(offered[name]["size"] for name in names) - num_arrived, location)
    for name, part in parts.items():
        _asked(path, partial(_copy, store, f"{folder}/{name}", part, name, offered[name]["size"], progress))
    return Gathered(location=location, files=parts)


def _objects(store: Any, path: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = store.find(path, detail=True)
    if not found:
        raise DownloadFailed(f"s3://{path} holds nothing, or nothing that these credentials may see")
    return found


def _copy(store: Any, key: str, part: Path, name: str, size: int, progress: Progress) -> None:
    num_done = part.stat().st_size if part.exists() else 0
    if num_done > size:
        part.unlink()
        num_done = 0
    progress(name, num_done, size)
    with store.open(key, "rb", block_size=_CHUNK_BYTES) as reader, part.open("ab") as writer:
        reader.seek(num_done)
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            num_done += len(chunk)
            progress(name, num_done, size)
    if num_done != size:
        part.unlink()
        raise BadModelFile(f"s3://{key} changed while it arrived. Try again.")


def _asked(path: str, ask: Callable[[], Any]) -> Any:
    """Return what `ask` does, or raise DownloadFailed for what any of the libraries below raises."""
    try:
        return ask()
    except (BadModelFile, BadRequest, DownloadFailed):
        raise
    except OSError as error:
        if error.errno is not None and not isinstance(error, FileNotFoundError | PermissionError | ConnectionError):
            raise  # our own disk
        raise DownloadFailed(f"s3://{path} can't be read ({error or type(error).__name__})") from None
    except Exception as error:  # botocore has trees of its own: a missing credential, an endpoint that isn't there
        raise DownloadFailed(f"s3://{path} can't be read ({type(error).__name__}: {error})") from None


def _file_system() -> Any:
    try:
        from s3fs import S3FileSystem
    except ImportError:
        raise BadRequest("Object stores need one more package: pip install 'llmos[s3]'") from None
    # Anew, and with no memory of what lay there a while ago.
    return S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
