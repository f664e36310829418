"""Verification of a receipt. It needs the receipt and the server's public key, and neither a server nor a network."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.core.errors import BadRequest, UntrustedModel
from llmos.core.schemas.base import read_description
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.security.receipts.receipts import RECEIPT
from llmos.security.signing_key import PublicKey, signer_of


def read_receipt(path: Path) -> Mapping[str, Any]:
    """Return the receipt in a file. Raises BadRequest for another file."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BadRequest(f"The receipt {path} can't be read: {error.strerror}.", param="file") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("type") != RECEIPT:
        raise BadRequest(f"{path} isn't a receipt. To get one, run: llmos receipt show ID --json", param="file")
    return document


def verify_receipt(document: Mapping[str, Any], keys: Sequence[PublicKey]) -> ReceiptDescription:
    """Return the receipt. Raises UntrustedModel unless one of these keys has signed it as it is."""
    signer = signer_of(document, keys)
    if signer is None:
        raise UntrustedModel(
            f"The receipt is signed by {str(document.get('key'))[:80]}, which isn't a key that you gave. Get the public"
            " key of the server that made it (llmos receipt key), and give it with --key FILE."
        )
    if not signer.has_signed(document):
        raise UntrustedModel("The receipt is not what was signed: it was changed, or its signature was.")
    return read_description(ReceiptDescription, document)
