"""The models on this machine: registry (names, versions, aliases), sources, transfer, cards, signing.

Lower layers don't know higher ones:

    descriptions
    deriving | encrypting | inspection | signing | transfer
    policies
    cards
    registry
    catalog
    sources
    versions
    model_files | queries
    tables
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.config import Settings

if TYPE_CHECKING:
    from llmos.models.registry import Registry
    from llmos.models.versions.records import VersionRecord


def open_registry(settings: Settings, *, discards_changes: bool = False, serves_others: bool = False) -> "Registry":
    """Open this installation's registry. Creates its folders and tables where they are missing.

    `discards_changes`: in a home that can't be written, changes of the database last as long as the registry. Otherwise
    they are refused. `serves_others`: other persons name the servers that models are pulled from and pushed to, so only
    those of LLMOS_API_KEY_SERVERS are sent this installation's key.
    """
    from llmos.core.database import Database
    from llmos.core.home import make_private_home
    from llmos.core.sources import Access
    from llmos.core.store.opening import open_store
    from llmos.models.policies import ENCRYPT_MODELS, Policies
    from llmos.models.registry import Registry

    make_private_home(settings.home)
    database = Database(settings.database_url, discards_changes=discards_changes)
    database.upgrade()
    policies = Policies(database)
    store = open_store(settings, database, encrypts=lambda: bool(policies.get(ENCRYPT_MODELS)))
    return Registry(
        database,
        store,
        catalog_path=settings.catalog,
        packed_path=settings.packed_path,
        check_arrival=lambda record, files: _check_arrival(settings, record, files),
        access=Access(
            hf_endpoint=settings.hf_endpoint,
            hf_token=settings.hf_token,
            api_key=settings.api_key,
            api_key_servers=frozenset(settings.api_key_servers) if serves_others else None,
            docker_config=settings.docker_config,
        ),
    )


def _check_arrival(settings: Settings, record: "VersionRecord", files: Mapping[str, Path]) -> None:
    if record.signatures and settings.trusted_keys_path.exists():
        from llmos.models.signing.signing import check_arrival  # imports cryptography
        from llmos.models.signing.trusted_keys import TrustedKeys

        check_arrival(TrustedKeys(settings.trusted_keys_path), record, files)
