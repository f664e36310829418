"""RunOptions: how one input is answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.client.mocked_calls import MockedCalls
from llmos.client.recorded_calls import RecordedCalls
from llmos.core.suggest import nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The options with which one input is answered."""

    session: str | None = None
    """The name of the conversation that it belongs to, such as the id of a user."""
    user: str = ""
    """The person whose data this is: `llmos forget` reaches the session and the run by this name."""
    variables: Mapping[str, Any] | None = None
    """Values for variables of the prompt."""
    before: Sequence[Mapping[str, Any]] = ()
    """The messages of the conversation before the input, where no session keeps it."""
    dry_run: bool = False
    """Call no tools and cause no side effects."""
    keep: bool = True
    """Keep the run, if the app has a journal. An eval doesn't: then nobody is told of a handoff, either."""
    recorded: RecordedCalls | None = None
    """The results that tools and steps had in another run. None of them is called, and the run isn't kept."""
    mocks: MockedCalls | None = None
    """The results of tools and steps in a case of an eval. None: tools and steps are called, and effects happen."""
    wait_seconds: float = 0.0
    """Wait this long for another run in the session to end. 0: that is an error at once."""

    @property
    def is_kept(self) -> bool:
        return self.keep and self.recorded is None


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """Return the options. Raises TypeError for an unknown one, with the nearest name."""
    known = [*RunOptions.__dataclass_fields__]
    for name in given:
        if name not in known:
            near = nearest(name, known, limit=1)
            raise TypeError(f"There is no option {name!r}. " + (f"Did you mean {near[0]!r}?" if near else f"{known}"))
    return RunOptions(**given)
