"""The application framework: a prompt, tools, steps and sessions around a model. It knows the client only."""

from llmos.apps.app import App
from llmos.apps.asking import Asked, Cited, ask, cite, search
from llmos.apps.brains import Reply
from llmos.apps.errors import AppError, LimitReached, NoRun, StepFailed, WrongOutput
from llmos.apps.functions import EffectKey
from llmos.apps.history import History
from llmos.apps.knowledge import Knowledge
from llmos.apps.limits import Limits
from llmos.apps.results import CitationEvent, DoneEvent, Event, Run, StepEvent, TextEvent, ToolEvent
from llmos.apps.steps import Happened, NotHappened, Step
from llmos.core.prompt_text import StoredPrompt
from llmos.core.schemas.hosted_apps import LeftOut
from llmos.core.schemas.knowledge import Citation, Sentence

__all__ = ["App", "AppError", "Asked", "Citation", "CitationEvent", "Cited", "DoneEvent", "EffectKey", "Event"]
__all__ += ["Happened", "History", "Knowledge", "LeftOut", "LimitReached", "Limits", "NoRun", "NotHappened", "Reply"]
__all__ += ["Run", "Sentence", "Step", "StepEvent", "StepFailed", "TextEvent", "ToolEvent", "WrongOutput", "ask"]
__all__ += ["StoredPrompt", "cite", "search"]
