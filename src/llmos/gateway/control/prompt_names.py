"""/llmos/v1/prompts/NAME/aliases and /labels."""

from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.control.prompts import prompts_of
from llmos.gateway.control.versioned_names import names_router
from llmos.security.permissions import Permission

router = names_router(
    NamedNoun(
        one="a prompt",
        path="/llmos/v1/prompts",
        prefix="prompt_",
        tags=("prompts", "prompts"),
        version="support@1",
        read=Permission.PROMPTS_READ,
        write=Permission.PROMPTS_WRITE,
        names_of=prompts_of,
    )
)
