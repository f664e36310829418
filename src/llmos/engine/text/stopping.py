"""Find stop strings in text that arrives piece by piece, and let go of everything that can't be part of one."""


class StopStrings:
    """Holds back the longest end of the text that is the beginning of a stop string, and nothing more.

    The text stops where a stop string is first complete, however it was cut into pieces; where two are complete at
    the same character, the longer one counts.

        text so far    [ released ........ | held back ]
                                           the longest beginning of a stop string that the text ends with
    """

    def __init__(self, stops: list[str]) -> None:
        self._matchers = [_Matcher(stop) for stop in stops]
        self.held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Add a piece. Return the text that is free to go, and the stop string if it is complete.

        With a stop string, what goes is all text before it; nothing may be pushed after it.
        """
        text = self.held + text
        for end in range(len(self.held) + 1, len(text) + 1):
            # A list, not a generator: every matcher must see every character.
            complete = [m.stop for m in self._matchers if m.advance(text[end - 1])]
            if complete:
                stop = max(complete, key=len)
                self.held = ""
                return text[: end - len(stop)], stop
        num_held = max([m.length for m in self._matchers], default=0)
        free = len(text) - num_held
        self.held = text[free:]
        return text[:free], None

    def flush(self) -> str:
        """The text ends here: return what was held back."""
        text, self.held = self.held, ""
        return text


class _Matcher:
    """How much of one stop string the text ends with (Knuth, Morris and Pratt 1977)."""

    __slots__ = ("_fallback", "length", "stop")

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.length = 0
        # _fallback[i]: the longest proper beginning of stop[:i] that is also its end
        self._fallback = [0, 0]
        for i in range(1, len(stop)):
            length = self._fallback[i]
            while length and stop[i] != stop[length]:
                length = self._fallback[length]
            self._fallback.append(length + (stop[i] == stop[length]))

    def advance(self, character: str) -> bool:
        """Take the next character of the text; True where the stop string is complete."""
        length = self.length
        while length and self.stop[length] != character:
            length = self._fallback[length]
        if self.stop[length] == character:
            length += 1
        self.length = length
        return length == len(self.stop)
