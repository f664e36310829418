"""/llmos/v1/datasets/NAME/aliases and /labels."""

from llmos.gateway.control.datasets import datasets_of
from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.control.versioned_names import names_router
from llmos.security.permissions import Permission

router = names_router(
    NamedNoun(
        one="a dataset",
        path="/llmos/v1/datasets",
        prefix="dataset_",
        tags=("datasets", "datasets"),
        version="support@1",
        read=Permission.DATASETS_READ,
        write=Permission.DATASETS_WRITE,
        names_of=datasets_of,
    )
)
