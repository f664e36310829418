r"""Regular expressions as JSON Schema and most languages read them, translated to the dialect of the grammar library.

\d \w \s                ASCII, as in JavaScript without flags
^(?=A)(?!B)C            several expressions that must all be found: A and C as they are, and the complement of B
backreferences, \b      no regular language, or not supported: refused
"""

import re
from collections.abc import Iterator

_ASCII_SPACE = r" \t\n\r\x0B\x0C"
_ANY_SPACE = _ASCII_SPACE + r"\u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}\u{FEFF}"
_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": _ASCII_SPACE,
    "D": "[^0-9]",
    "W": "[^0-9A-Za-z_]",
    # Excludes what any engine takes for space, so that all of them accept the text.
    "S": f"[^{_ANY_SPACE}]",
}
"""The meanings of escaped letters inside of brackets."""

_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_DOT = r"[^\n\r\u{2028}\u{2029}]"
_QUANTIFIER = re.compile(r"\{\d+(,\d*)?\}")
_PROPERTY = re.compile(r"\\[pP](\{[^}]*\}|\w)")
_TEMPERED = re.compile(r"\^\((?:\?:)?\(\?!(.*)\)\.\)\*\$")
_ITEM = re.compile(r"\\[^bBkcux1-9pP]|\[(?:\\.|[^\\\]])+\]|[^\\\[\](){}*+?|^$.]")
"""One character of an expression, in brackets or escaped perhaps, without a quantifier."""


class UnsupportedPattern(Exception):
    """The expression can't be enforced. The message says why, and completes "its pattern …"."""


def translate_pattern(pattern: str) -> list[str]:
    """Return the expressions that a text must contain to contain this one.

    Raises UnsupportedPattern.
    """
    if (tempered := _TEMPERED.fullmatch(pattern)) and (complement := _without(tempered[1])):
        return [complement, f"^{_DOT}*$"]
    found: list[str] = []
    rest, is_anchored = pattern, pattern.startswith("^")
    if is_anchored:
        rest = pattern[1:]
        while rest.startswith(("(?=", "(?!")):
            inner, after = _take_group(rest)
            if rest[2] == "=":
                found.append(f"^(?:{_translate(inner)})")
            else:
                found += [_complement(option) for option in _options(inner)]
            rest = after
        if found and len(_split(rest)) > 1:
            raise UnsupportedPattern("has a look-ahead before alternatives: put the alternatives into a group")
        rest = f"^{rest}"
    if not found or rest not in ("^", "^.*"):
        found.append(_translate(rest))
    return found


def with_ascii_classes(expression: str) -> str:
    r"""Return a regular expression in the grammar library's own dialect with \d, \w and \s as ASCII."""
    parts: list[str] = []
    depth = i = 0
    while i < len(expression):
        character = expression[i]
        if character == "\\" and i + 1 < len(expression):
            parts.append(_ascii_class(expression[i + 1], is_in_brackets=depth > 0))
            i += 2
            continue
        if character == "[":
            # A bracket directly behind the opening one is a letter.
            depth += 1
            opening = re.match(r"\[\^?\]?", expression[i:])
            assert opening is not None
            parts.append(opening[0])
            i += len(opening[0])
            continue
        depth -= character == "]" and depth > 0
        parts.append(character)
        i += 1
    return "".join(parts)


def _ascii_class(letter: str, *, is_in_brackets: bool) -> str:
    members = _CLASSES.get(letter)
    if members is None:
        return "\\" + letter
    return members if is_in_brackets or members.startswith("[") else f"[{members}]"


# --- translation of one expression


def _translate(pattern: str) -> str:
    parts: list[str] = []
    i = 0
    while i < len(pattern):
        part, i = _translate_next(pattern, i)
        parts.append(part)
    return "".join(parts)


def _translate_next(pattern: str, i: int) -> tuple[str, int]:
    """Return the translation of what stands at `i`, and where the next thing begins."""
    character = pattern[i]
    match character:
        case "\\":
            return _translate_escape(pattern, i)
        case "[":
            return _translate_class(pattern, i)
        case "(":
            return _translate_opening(pattern, i)
        case ".":
            return _DOT, i + 1
        case "{":
            if quantifier := _QUANTIFIER.match(pattern, i):
                return quantifier[0], quantifier.end()
            if re.match(r"\{,\d+\}", pattern[i:]):
                raise UnsupportedPattern("has {,n}, which languages read differently: write {0,n}")
            return r"\{", i + 1
        case "}" | "]" | "#" | "&" | "~" | "-" | " ":
            return _literal(character), i + 1
        case _:
            return character, i + 1


def _translate_opening(pattern: str, i: int) -> tuple[str, int]:
    if pattern.startswith(("(?=", "(?!"), i):
        raise UnsupportedPattern("has a look-ahead that is not at its beginning")
    if pattern.startswith(("(?<=", "(?<!"), i):
        raise UnsupportedPattern("has a look-behind")
    if named := re.compile(r"\(\?P?<\w+>").match(pattern, i):
        return "(?:", named.end()
    if pattern.startswith(("(?>", "(?("), i):
        raise UnsupportedPattern("has an atomic or conditional group")
    return "(", i + 1


def _translate_escape(pattern: str, i: int) -> tuple[str, int]:
    letter = pattern[i + 1 : i + 2]
    if letter in _CLASSES:
        return _ascii_class(letter, is_in_brackets=False), i + 2
    if letter in ("b", "B"):
        raise UnsupportedPattern(f"has a word boundary, \\{letter}")
    if letter in ("A", "Z", "z"):
        return ("^" if letter == "A" else "$"), i + 2
    if named := _PROPERTY.match(pattern, i):
        return named[0], named.end()
    character, i = _escaped_character(pattern, i)
    return _literal(character), i


def _escaped_character(pattern: str, i: int) -> tuple[str, int]:
    """Return the character that the escape at `i` stands for, and where the next thing begins."""
    letter = pattern[i + 1 : i + 2]
    if not letter:
        raise UnsupportedPattern("ends with a backslash")
    if letter in _CONTROL and not (letter == "0" and pattern[i + 2 : i + 3].isdigit()):
        return _CONTROL[letter], i + 2
    if letter in "123456789k":
        raise UnsupportedPattern("refers back to a group")
    if letter == "c" and (control := re.compile(r"\\c([A-Za-z])").match(pattern, i)):
        return chr(ord(control[1]) % 32), control.end()
    pair = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(pattern, i)
    if pair:
        return (
            pair[0].encode().decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16")
        ), pair.end()
    code = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|[ux]\{([0-9a-fA-F]{1,6})\})").match(pattern, i)
    if code:
        value = int(code[1] or code[2] or code[3], 16)
        if 0xD800 <= value < 0xE000 or value > 0x10FFFF:
            raise UnsupportedPattern("has half of a surrogate pair, which is no character")
        return chr(value), code.end()
    return letter, i + 2


def _translate_class(pattern: str, i: int) -> tuple[str, int]:
    """Translate a class in brackets. Ours are nested and have set operations, so all its members are escaped."""
    i += 1
    is_negated = pattern.startswith("^", i)
    i += is_negated
    if pattern.startswith("]", i):
        if is_negated:
            return r"(?s:.)", i + 1
        raise UnsupportedPattern("has an empty class, []")
    members: list[str] = []
    while not pattern.startswith("]", i):
        if i >= len(pattern):
            raise UnsupportedPattern("has a class without its closing bracket")
        first, i = _class_member(pattern, i)
        if pattern.startswith("-", i) and pattern[i + 1 : i + 2] not in ("]", "") and len(first) == 1:
            last, after = _class_member(pattern, i + 1)
            if len(last) == 1:
                members.append(f"{_literal(first)}-{_literal(last)}")
                i = after
                continue
        members.append(_literal(first) if len(first) == 1 else first)
    return f"[{'^' * is_negated}{''.join(members)}]", i + 1


def _class_member(pattern: str, i: int) -> tuple[str, int]:
    """Return a character, or the translation of an escaped class, which is longer."""
    if pattern[i] != "\\":
        return pattern[i], i + 1
    letter = pattern[i + 1 : i + 2]
    if letter in _CLASSES:
        return _CLASSES[letter], i + 2
    if named := _PROPERTY.match(pattern, i):
        return named[0], named.end()
    if letter == "b":
        return "\b", i + 2
    return _escaped_character(pattern, i)


def _literal(character: str) -> str:
    if character.isalnum() and character.isascii():
        return character
    return f"\\x{{{ord(character):X}}}"


# --- look-aheads


def _take_group(pattern: str) -> tuple[str, str]:
    """Return what is inside of the look-ahead at the beginning, and what follows it."""
    depth = 0
    for i, character in _structure(pattern):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return pattern[3:i], pattern[i + 1 :]
    raise UnsupportedPattern("has a group without its closing parenthesis")


def _structure(pattern: str) -> Iterator[tuple[int, str]]:
    """Yield the characters that are neither escaped nor in brackets, with their positions."""
    for match in re.finditer(r"\\.|\[\^?(?:\\.|[^\\\]])*\]|(.)", pattern, re.DOTALL):
        if match[1] is not None:
            yield match.start(), match[1]


def _split(pattern: str) -> list[str]:
    """Return the alternatives of an expression."""
    begins, depth = [0], 0
    for i, character in _structure(pattern):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and not depth:
            begins.append(i + 1)
    return [pattern[a : b - 1] for a, b in zip(begins, [*begins[1:], len(pattern) + 1], strict=True)]


def _options(pattern: str) -> list[str]:
    """Return the alternatives, also those of a group that is all of the expression but `$`."""
    options: list[str] = []
    for option in _split(pattern):
        grouped = re.fullmatch(r"\((?:\?:)?([^()]*)\)(\$?)", option)
        options += [inner + grouped[2] for inner in _split(grouped[1])] if grouped else [option]
    return options


def _complement(pattern: str) -> str:
    """Return an expression for the texts that don't begin with this one. Raises UnsupportedPattern."""
    body, is_exact = (pattern[:-1], True) if pattern.endswith("$") and not pattern.endswith(r"\$") else (pattern, False)
    body = body.removeprefix("^")
    if body.startswith(".*") and not is_exact and (without := _without(body[2:])):
        return without
    if is_exact and body.startswith(".*") and (items := _items(body[2:])):
        return _not_ending(items)
    if is_exact and (run := re.fullmatch(f"({_ITEM.pattern})([*+])", body)):
        other = _negated(run[1])
        return f"(?s:{other})" if run[2] == "*" else f"^$|(?s:{other})"
    items = _items(body)
    if not items and not (is_exact and not body):
        raise UnsupportedPattern("has a negative look-ahead of a kind that can't be turned around")
    rest = "(?s:.)" if is_exact else None
    for item in reversed(items):
        follows = f"|{_translate(item)}(?:{rest})" if rest is not None else ""
        rest = f"$|{_negated(item)}{follows}"
    return f"^(?:{rest})"


def _items(pattern: str) -> list[str]:
    """Return the characters of an expression that is nothing but a sequence of characters and classes, [] otherwise."""
    items = [match[0] for match in _ITEM.finditer(pattern)]
    return items if "".join(items) == pattern else []


def _negated(item: str) -> str:
    """Return the class of all characters but these."""
    translated = _translate(item)
    inner = translated[1:-1] if translated.startswith("[") else translated
    return f"[{inner[1:]}]" if inner.startswith("^") else f"[^{inner}]"


def _not_ending(items: list[str]) -> str:
    """Return an expression for the texts that don't end with these characters."""
    ends: list[str] = []
    for i, item in enumerate(items):
        tail = "".join(_translate(each) for each in items[i + 1 :])
        # Either this character is another one, or the text is shorter than the end.
        ends += [f"{_negated(item)}{tail}$", f"^{tail}$"]
    return "|".join(ends)


def _without(pattern: str) -> str | None:
    """Return an expression for the texts that contain one or two characters nowhere, None for other expressions."""
    items = _items(pattern)
    if len(items) == 1:
        return f"^{_negated(items[0])}*$"
    if len(items) != 2:
        return None
    first, second = (_translate(item) for item in items)
    if items[0] == items[1]:
        other = _negated(items[0])
        return f"^(?:{first}?{other})*{first}?$"
    if any(item.startswith(("[", "\\")) and len(item) > 2 for item in items) or first.startswith("["):
        return None  # the classes may overlap
    neither = f"[^{first}{second}]"
    return f"^(?:{_negated(items[0])}|{first}+{neither})*{first}*$"
