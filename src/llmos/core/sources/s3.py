"""s3://bucket/folder or s3://bucket/model.gguf: an object store, through s3fs (the extra `llmos[s3]`).

Credentials and endpoint come from the AWS environment: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL and others.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llmos.core.byte_progress import OnBytes, report_bytes
from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed
from llmos.core.names import check_file_name
from llmos.core.progress import Progress
from llmos.core.sources import Access, Fetched, Selection
from llmos.core.sources._download import partial_size
from llmos.core.store.staging import StagingArea

_CHUNK_BYTES = 4 << 20
_CREDENTIALS = "; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to credentials that may read it"


def fetch(location: str, selection: Selection, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Download the selected objects below a prefix, or one object.

    Raises BadRequest for an invalid location, DownloadFailed, BadModelFile for an object that changes meanwhile, and
    what the selection raises.
    """
    path = location.removeprefix("s3://").rstrip("/")
    if not location.startswith("s3://") or not path:
        raise BadRequest(f"{location!r} is not a location in an object store; write s3://BUCKET/FOLDER.")
    store = _open_store()
    objects = _with_s3_errors(path, partial(_list_objects, store, path))
    folder = path.rpartition("/")[0] if path in objects else path
    listed = {check_file_name(key.removeprefix(f"{folder}/")): info for key, info in objects.items()}
    names = selection.select(list(listed), location, path.rpartition("/")[2] if path in objects else None)
    # The ETag is part of the key: the partial copy of an object that was replaced since can't be resumed.
    parts = {name: staging.part_path(f"{name} {listed[name].get('ETag')}") for name in names}
    num_present = sum(map(partial_size, parts.values()))
    staging.check_room(sum(listed[name]["size"] for name in names) - num_present, location)
    for name, part in parts.items():
        size = listed[name]["size"]
        on_bytes = report_bytes(progress, name, size)
        _with_s3_errors(path, partial(_copy, store, f"{folder}/{name}", part, size, on_bytes))
    return Fetched(location=location, files=parts)


def _list_objects(store: Any, path: str) -> dict[str, dict[str, Any]]:
    objects: dict[str, dict[str, Any]] = store.find(path, detail=True)
    if not objects:
        raise DownloadFailed(f"s3://{path} is empty, or these credentials can't read it")
    return objects


def _copy(store: Any, key: str, part: Path, size: int, on_bytes: OnBytes) -> None:
    """Copy an object, resuming from what the part holds. Raises BadModelFile where its size is another one now."""
    num_done = partial_size(part)
    if num_done > size:
        part.unlink()
        num_done = 0
    on_bytes(num_done)
    with store.open(key, "rb", block_size=_CHUNK_BYTES) as reader, part.open("ab") as writer:
        reader.seek(num_done)
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            num_done += len(chunk)
            on_bytes(num_done)
    if num_done != size:
        part.unlink()
        raise BadModelFile(f"s3://{key} changed during the download. Try again.")


def _with_s3_errors(path: str, action: Callable[[], Any]) -> Any:
    """Return the result of `action`. Raises DownloadFailed for every error of the libraries below."""
    try:
        return action()
    except (BadModelFile, BadRequest, DownloadFailed):
        raise
    except OSError as error:
        if error.errno is not None and not isinstance(error, FileNotFoundError | PermissionError | ConnectionError):
            raise  # an error of the local disk
        advice = _CREDENTIALS if isinstance(error, PermissionError) else ""
        raise DownloadFailed(f"s3://{path} can't be read ({error or type(error).__name__}){advice}") from None
    except Exception as error:  # botocore has its own exceptions, for missing credentials or a wrong endpoint
        advice = _CREDENTIALS if "credentials" in str(error).lower() else ""
        raise DownloadFailed(f"s3://{path} can't be read ({type(error).__name__}: {error}){advice}") from None


def _open_store() -> Any:
    try:
        from s3fs import S3FileSystem
    except ImportError:
        raise BadRequest("Object stores need another package: pip install 'llmos[s3]'") from None
    # Without the caches of s3fs, which may list objects that have changed since.
    return S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
