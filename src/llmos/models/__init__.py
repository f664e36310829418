"""The models on this machine: the registry (names, versions, aliases), the store (bytes), the sources of both."""

from typing import TYPE_CHECKING

from llmos.core.config import Settings

if TYPE_CHECKING:
    from llmos.models.registry import Registry


def open_registry(settings: Settings) -> "Registry":
    """Open the registry of this installation, making its folders and tables where they aren't there yet."""
    from llmos.core.database import Database
    from llmos.models.registry import Registry
    from llmos.models.sources import Access
    from llmos.models.store import Store

    database = Database(settings.database_url)
    database.upgrade()
    return Registry(
        database,
        Store(settings.store_path),
        catalog_path=settings.catalog,
        packed_path=settings.packed_path,
        access=Access(
            hf_endpoint=settings.hf_endpoint,
            hf_token=settings.hf_token,
            api_key=settings.api_key,
            docker_config=settings.docker_config,
        ),
    )
