"""oci:host/repository:tag: versions in OCI registries, as images that KServe's modelcars and Kubernetes mount.

place.py        oci:HOST/REPOSITORY:TAG, parsed
credentials.py  credentials from docker's configuration file
client.py       the distribution protocol: manifests and blobs, up and down
layer.py        one file of a model as one layer
image.py        an image from layers, and layers from an image
"""

from llmos.models.sources import Access, Gathered, Progress
from llmos.models.sources.oci.client import Repository
from llmos.models.sources.oci.credentials import credentials_for
from llmos.models.sources.oci.image import pull_image
from llmos.models.sources.oci.place import parse_place
from llmos.models.store import Arrivals


def gather(location: str, arrivals: Arrivals, access: Access, progress: Progress) -> Gathered:
    place = parse_place(location)
    progress(f"asking {place.host}", 0, None)
    with Repository(place, credentials_for(place.host, access.docker_config)) as repository:
        digest, files, record = pull_image(repository, place, arrivals, progress)
    return Gathered(location=place.pinned(digest), files=files, record=record)
