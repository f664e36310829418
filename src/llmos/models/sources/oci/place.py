"""Where an image lies: oci:HOST/REPOSITORY:TAG or oci:HOST/REPOSITORY@sha256:DIGEST."""

import re
from dataclasses import dataclass

from llmos.core.errors import BadRequest

_PLACE = re.compile(
    r"oci:(?://)?(?P<host>[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOOPBACK = re.compile(r"(?:localhost|127\.[\d.]+|\[::1\])(?::\d+)?")


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def reference(self) -> str:
        """What the protocol calls the image within its repository."""
        return self.digest or self.tag or "latest"

    @property
    def url(self) -> str:
        """Of the registry. Without encryption on this machine only, as with docker."""
        return f"{'http' if _LOOPBACK.fullmatch(self.host) else 'https'}://{self.host}"

    def pinned(self, digest: str) -> str:
        return f"oci:{self.host}/{self.repository}@{digest}"


def parse_place(location: str) -> Place:
    """Raises BadRequest for what is no place in a registry."""
    if (match := _PLACE.fullmatch(location)) is None:
        raise BadRequest(
            f"{location!r} is no place in a registry; one reads oci:HOST/REPOSITORY:TAG, in lower case, like"
            " oci:registry.example.com/models/smollm2:v1."
        )
    return Place(match["host"], match["repository"], match["tag"], match["digest"])
