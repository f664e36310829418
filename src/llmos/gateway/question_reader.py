"""QuestionReader: tells by its tokenizer how much of a question an embedding model can read. Asks no replica."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from llmos.core.errors import LLMOSError
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

_MAX_KEPT = 4
"""The versions of models whose tokenizers are kept in memory."""

_Share = Callable[[str], float]


class QuestionReader:
    """Any thread may use it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Share] = OrderedDict()
        self._lock = Lock()

    def unknown_share(self, registry: Registry, version: Version, question: str) -> float:
        """Return the share of the question's tokens that the version doesn't know, from 0 to 1.

        0 where the tokenizer can't be read: making the vector reports what is wrong with the model.
        """
        try:
            share = self._share_of(registry, version)
        except (LLMOSError, OSError):
            return 0.0
        return share(question)

    def _share_of(self, registry: Registry, version: Version) -> _Share:
        with self._lock:
            if version.digest not in self._kept:
                self._kept[version.digest] = _open(registry, version)
            self._kept.move_to_end(version.digest)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
            return self._kept[version.digest]


def _open(registry: Registry, version: Version) -> _Share:
    # The tokenizers take long to import, and a server without knowledge needs none.
    from llmos.engine.checkpoint.checkpoint import open_checkpoint
    from llmos.engine.encoder_spec import EncoderSpec

    checkpoint = open_checkpoint(registry.loadable(version).files)
    tokenizer, spec = checkpoint.tokenizer, checkpoint.spec
    is_lowercase = isinstance(spec, EncoderSpec) and spec.lowercase
    return lambda question: tokenizer.unknown_share(question.lower() if is_lowercase else question)
