"""References to images in registries: oci:HOST/REPOSITORY:TAG or oci:HOST/REPOSITORY@sha256:DIGEST."""

import re
from dataclasses import dataclass

from llmos.core.errors import BadRequest

_REFERENCE = re.compile(
    r"oci:(?://)?(?P<host>[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOOPBACK = re.compile(r"(?:localhost|127\.[\d.]+|\[::1\])(?::\d+)?")


@dataclass(frozen=True, slots=True)
class ImageReference:
    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def tag_or_digest(self) -> str:
        """The image within its repository; the distribution protocol calls it the reference."""
        return self.digest or self.tag or "latest"

    @property
    def url(self) -> str:
        """The registry's base URL: http on a loopback address, as docker does, else https."""
        return f"{'http' if _LOOPBACK.fullmatch(self.host) else 'https'}://{self.host}"

    def pinned(self, digest: str) -> str:
        """Return the location of the image with this digest in the same repository."""
        return f"oci:{self.host}/{self.repository}@{digest}"


def parse_image_reference(location: str) -> ImageReference:
    """Parse a location. Raises BadRequest for an invalid one."""
    if (match := _REFERENCE.fullmatch(location)) is None:
        raise BadRequest(
            f"{location!r} is not an image reference; write oci:HOST/REPOSITORY:TAG in lower case, such as"
            " oci:registry.example.com/models/smollm2:v1."
        )
    return ImageReference(match["host"], match["repository"], match["tag"], match["digest"])
