"""Fetches data files from the sources that `llmos pull` knows: hf:, https:, pypi:, s3:, file:."""

from collections.abc import Iterator
from contextlib import contextmanager

from llmos.core.progress import Progress
from llmos.core.sources import Access, fetch, source_kinds
from llmos.core.store.staging import open_staging_area
from llmos.core.store.store import Store
from llmos.data.datasets.folder import DATASET_SELECTION, Layout, layout_of


def is_location(text: str) -> bool:
    """Return whether this is a location to fetch from, rather than a path."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and kind in source_kinds()


@contextmanager
def fetched(
    store: Store, location: str, config: str | None, access: Access, progress: Progress
) -> Iterator[tuple[Layout, str]]:
    """Fetch the data files at a location; yield their layout, and the location pinned, until the block ends.

    Raises BadRequest or DownloadFailed. Partial files are kept for the next attempt; complete ones are removed when the
    block ends without an error.
    """

    def on_wait() -> None:
        progress(f"waiting for another process that downloads {location}", 0, None)

    with open_staging_area(store, location, on_wait) as staging:
        found = fetch(location, DATASET_SELECTION, staging, access, progress)
        layout = layout_of(found.files, location, config)
        if layout.license is None and found.license is not None:
            layout = Layout(files=layout.files, license=found.license, manifest=layout.manifest)
        yield layout, found.location
        staging.clear()
