"""Search for stop strings in text that arrives in pieces."""


class StopStrings:
    """Finds the first stop string, and holds back only text that may be the beginning of one.

    The text stops where a stop string is first complete, wherever the pieces are cut. If two are complete at the same
    character, the longer one counts.

        text so far    [ released ........ | held back ]
                                           the longest prefix of a stop string that the text ends with
    """

    def __init__(self, stops: list[str]) -> None:
        self._searches = [_PrefixSearch(stop) for stop in stops]
        self.held = ""
        """The text that is held back."""
        self.rest = ""
        """The text behind the stop string in the piece that completed it."""

    def push(self, text: str) -> tuple[str, str | None]:
        """Add a piece. Return the text that it releases, and the stop string once one is complete.

        With a stop string, all text before it is released; push no more after it.
        """
        text = self.held + text
        for end in range(len(self.held) + 1, len(text) + 1):
            # A list, not a generator: every search must see every character.
            complete = [search.stop for search in self._searches if search.advance(text[end - 1])]
            if complete:
                stop = max(complete, key=len)
                self.held, self.rest = "", text[end:]
                return text[: end - len(stop)], stop
        num_held = max([search.length for search in self._searches], default=0)
        num_released = len(text) - num_held
        self.held = text[num_released:]
        return text[:num_released], None

    def flush(self) -> str:
        """End the text. Return what was held back."""
        text, self.held = self.held, ""
        return text


class _PrefixSearch:
    """The longest prefix of one stop string that the text ends with (Knuth, Morris and Pratt 1977)."""

    __slots__ = ("_fallback", "length", "stop")

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.length = 0
        # _fallback[i]: the length of the longest proper prefix of stop[:i] that is also its suffix
        self._fallback = [0, 0]
        for i in range(1, len(stop)):
            length = self._fallback[i]
            while length and stop[i] != stop[length]:
                length = self._fallback[length]
            self._fallback.append(length + (stop[i] == stop[length]))

    def advance(self, character: str) -> bool:
        """Add a character. Return whether the stop string is complete."""
        length = self.length
        while length and self.stop[length] != character:
            length = self._fallback[length]
        if self.stop[length] == character:
            length += 1
        self.length = length
        return length == len(self.stop)
