"""The application framework: a prompt, tools, steps and sessions around a model. It knows the client only."""

from llmos.apps.app import App
from llmos.apps.errors import AppError, LimitReached, NoRun, StepFailed, WrongOutput
from llmos.apps.functions import EffectKey
from llmos.apps.history import History
from llmos.apps.knowledge import Knowledge
from llmos.apps.limits import Limits
from llmos.apps.results import CitationEvent, DoneEvent, Event, LeftOut, Run, Sentence, StepEvent, TextEvent, ToolEvent
from llmos.apps.steps import Happened, NotHappened, Step
from llmos.core.schemas.knowledge import Citation

__all__ = ["App", "AppError", "Citation", "CitationEvent", "DoneEvent", "EffectKey", "Event", "Happened", "History"]
__all__ += ["Knowledge", "LeftOut", "LimitReached", "Limits", "NoRun", "NotHappened", "Run", "Sentence", "Step"]
__all__ += ["StepEvent", "StepFailed", "TextEvent", "ToolEvent", "WrongOutput"]
