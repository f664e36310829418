"""The request of POST /api/generate."""

from typing import ClassVar

from llmos.core.errors import BadRequest
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.http.requests import Unsupported
from llmos.gateway.wires.ollama.fields import NO_IMAGES, OPTION_NAMES, GenerateFields, strip_latest
from llmos.security.callers import Caller

_NO_IMAGE_OUTPUT = Unsupported("the models here generate text only. Leave it out.")


class OllamaGenerateRequest(GenerateFields, kw_only=True):
    prompt: str = ""
    """A user's message. Without it, the model is loaded, or unloaded if keep_alive is 0."""
    system: str = ""
    raw: bool = False
    """Continue the prompt without the model's chat template."""
    parse_special: bool = True
    """With `raw`: control strings in the prompt, such as <|im_end|>, are control tokens."""
    suffix: str = ""
    """The text after the answer, for models that were trained to fill in the middle. The prompt is then raw."""

    unsupported: ClassVar = {
        **GenerateFields.unsupported,
        "template": Unsupported(
            "the model's own template is always used. Send a complete prompt with `raw` set to true instead.", ("",)
        ),
        "context": Unsupported("send the conversation as messages to /api/chat instead.", ([],)),
        "images": NO_IMAGES,
        "width": _NO_IMAGE_OUTPUT,
        "height": _NO_IMAGE_OUTPUT,
        "steps": _NO_IMAGE_OUTPUT,
    }

    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        for name in ("system", "think"):
            for off in ("raw", "suffix"):
                if getattr(self, off) and getattr(self, name):
                    raise BadRequest(
                        f"`{off}` and `{name}` can't be combined: `{off}` turns the chat template off."
                        " Leave one of them out.",
                        param=name,
                    )
        return Call(
            model=strip_latest(self.model),
            prompts=[self._prompt()],
            sampling=self.sampling(),
            grammar=self.grammar(),
            template_options={} if self.raw or self.suffix else self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            field_names=FieldNames({**OPTION_NAMES, "messages": "prompt"}),
            id_prefix="ollama",
        )

    def _prompt(self) -> Prompt:
        if self.suffix:
            return Prompt(text=self.prompt, suffix=self.suffix)
        if self.raw:
            return Prompt(text=self.prompt, parse_special=self.parse_special)
        if not self.system:
            return Prompt(user_text=self.prompt)
        messages = [{"role": "system", "content": self.system}, {"role": "user", "content": self.prompt}]
        return Prompt(messages=messages)
