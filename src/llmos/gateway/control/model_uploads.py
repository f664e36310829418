"""/llmos/v1/model-uploads: the files of a model that arrive for an import; the job `model_import` takes them."""

from llmos.gateway.control.uploads_router import uploads_router
from llmos.gateway.jobs.kinds.model_import import ENDPOINT
from llmos.security.permissions import Permission

router = uploads_router(ENDPOINT, "model", Permission.MODELS_WRITE, tag="models")
