"""When certificates are renewed, long before they end; and the renewal of the head's own.

The keys stay, so that one file is replaced at once. Nodes ask the head for theirs: node_renewal.py.
"""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from llmos.core.clock import Clock
from llmos.core.errors import PermissionDenied, StoreFailed
from llmos.deployments.cluster.authority import open_authority

RENEW_BEFORE = timedelta(days=120)
"""A certificate that ends within this time is renewed. A node may be switched off for as long."""

CHECK_SECONDS = 3600.0


def expires_at(folder: Path, name: str) -> datetime:
    """Return the end of the certificate NAME.pem. Raises StoreFailed if it can't be read."""
    try:
        return x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise StoreFailed(f"The certificate in {folder} can't be read: {error}") from None


def is_renewal_due(folder: Path, name: str, clock: Clock) -> bool:
    return expires_at(folder, name) - clock() < RENEW_BEFORE


def check_not_expired(folder: Path, clock: Clock) -> None:
    """Raise PermissionDenied for a node whose certificate has ended."""
    if (end := expires_at(folder, "node")) < clock():
        raise PermissionDenied(
            f"The certificate of this node has ended on {end:%Y-%m-%d}: it wasn't connected for too long. At the head,"
            f" run `llmos cluster leave` for it and `llmos cluster token`; here, remove {folder} and join again."
        )


def renew_head(folder: Path, *, clock: Clock) -> bool:
    """Give the head a new certificate if its own ends soon. Return whether it did."""
    if not is_renewal_due(folder, "head", clock):
        return False
    open_authority(folder).renew_head(folder, clock=clock)
    return True
