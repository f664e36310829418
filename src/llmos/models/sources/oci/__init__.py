"""oci:host/repository:tag: versions in OCI registries, as images that KServe and Kubernetes can mount.

image_reference.py  oci:HOST/REPOSITORY:TAG, parsed
credentials.py      credentials from docker's configuration file
client.py           the distribution protocol: pull and push manifests and blobs
layer.py            one file of a model as one layer
image.py            push a version as an image, pull a model from an image
"""

from llmos.core.progress import Progress
from llmos.core.sources import Access, Fetched
from llmos.core.store.staging import StagingArea
from llmos.models.sources.oci.client import Repository
from llmos.models.sources.oci.credentials import credentials_for
from llmos.models.sources.oci.image import pull_image
from llmos.models.sources.oci.image_reference import parse_image_reference


def fetch_model(location: str, staging: StagingArea, access: Access, progress: Progress) -> Fetched:
    """Pull the model from an image. Raises BadRequest, DownloadFailed, BadModelFile or UnsupportedModel."""
    image = parse_image_reference(location)
    progress(f"connecting to {image.host}", 0, None)
    with Repository(image, credentials_for(image.host, access.docker_config)) as repository:
        digest, files, record = pull_image(repository, staging, progress)
    return Fetched(location=image.pinned(digest), files=files, record=record)
