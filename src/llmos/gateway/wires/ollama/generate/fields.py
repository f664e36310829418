"""The request of POST /api/generate."""

from typing import ClassVar

from llmos.core.errors import BadRequest
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.http.requests import Unsupported
from llmos.gateway.wires.ollama.fields import NO_IMAGES, RunFields, strip_latest
from llmos.security.callers import Caller

_NO_PICTURES = Unsupported("the models here write text. Leave it out.")


class OllamaGenerateRequest(RunFields, kw_only=True):
    prompt: str = ""
    """What a user says. Without it, the model is loaded, or stopped where keep_alive is 0."""
    system: str = ""
    raw: bool = False
    """Continue the prompt as it stands, without the model's chat template."""

    unsupported: ClassVar = {
        **RunFields.unsupported,
        "suffix": Unsupported("the model can't write towards a given end. Leave it out.", ("",)),
        "template": Unsupported(
            "a model's own template is used. Send a whole prompt with `raw` set to true instead.", ("",)
        ),
        "context": Unsupported("send the conversation as messages to /api/chat instead.", ([],)),
        "images": NO_IMAGES,
        "width": _NO_PICTURES,
        "height": _NO_PICTURES,
        "steps": _NO_PICTURES,
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        for name in ("system", "think"):
            if self.raw and getattr(self, name):
                raise BadRequest(
                    f"`raw` and `{name}` don't go together: no template is there to know it. Leave one of them out.",
                    param=name,
                )
        return Call(
            model=strip_latest(self.model),
            prompts=[self._prompt()],
            sampling=self.sampling(),
            grammar=self.grammar(),
            template_options={} if self.raw else self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="ollama",
        )

    def _prompt(self) -> Prompt:
        if self.raw:
            return Prompt(text=self.prompt)
        if not self.system:
            return Prompt(user_text=self.prompt)
        said = [{"role": "system", "content": self.system}, {"role": "user", "content": self.prompt}]
        return Prompt(messages=said)
