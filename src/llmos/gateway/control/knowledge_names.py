"""/llmos/v1/knowledge/NAME/aliases and /labels."""

from llmos.gateway.control.knowledge import knowledge_of
from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.control.versioned_names import names_router
from llmos.security.permissions import Permission

router = names_router(
    NamedNoun(
        one="knowledge",
        path="/llmos/v1/knowledge",
        prefix="knowledge_",
        tags=("knowledge", "knowledge"),
        version="faq@1",
        read=Permission.KNOWLEDGE_READ,
        write=Permission.KNOWLEDGE_WRITE,
        names_of=knowledge_of,
    )
)
