"""The health check of the container image: status 0 if the server on LLMOS_PORT is live, with or without TLS."""

import os
import ssl
import sys
import urllib.request


def main() -> int:
    port = os.environ.get("LLMOS_PORT", "8000")
    # The certificate is for the names that others use, and this asks the container itself.
    context = ssl._create_unverified_context()  # noqa: S323
    for scheme in ("https", "http"):
        try:
            with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/health/live", timeout=4, context=context):  # noqa: S310
                return 0
        except OSError:
            continue
    return 1


if __name__ == "__main__":
    sys.exit(main())
