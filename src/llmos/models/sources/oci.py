"""oci:host/repository:tag: an image in a registry, ours or any that has a model below /models, as modelcars do."""

from llmos.models.oci.client import Repository
from llmos.models.oci.credentials import credentials_for
from llmos.models.oci.image import pull_image
from llmos.models.oci.place import parse_place
from llmos.models.sources import Access, Gathered, Progress
from llmos.models.store import Arrivals


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    place = parse_place(location)
    progress(f"asking {place.host}", 0, None)
    with Repository(place, credentials_for(place.host, access.docker_config)) as repository:
        digest, files, record = pull_image(repository, place, arrivals, progress)
    return Gathered(location=place.pinned(digest), files=files, record=record)
