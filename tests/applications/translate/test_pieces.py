"""Pieces: what of a text is kept, and what isn't."""

import re
import unicodedata
from itertools import pairwise

import pytest

from llmos.applications.translate.answer_pattern import FORBIDDEN
from llmos.applications.translate.piece_patterns import SYMBOLS
from llmos.applications.translate.pieces import find_pieces


def kept(text: str) -> list[str]:
    return [piece.text for piece in find_pieces(text)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Pay {name}, {0:.2f}, {{ user.name }} and ${x} now", ["{name}", "{0:.2f}", "{{ user.name }}", "${x}"]),
        ("%s has %(n)d of %1$s files, 50%% of $HOME", ["%s", "%(n)d", "%1$s", "50", "%%", "$HOME"]),
        ("{% if x %}yes{% endif %} and %{count}", ["{% if x %}", "{% endif %}", "%{count}"]),
        ('A <a href="https://x.org/?a=1&b=2">', ['<a href="https://x.org/?a=1&b=2">']),
        ('A <a href="x>y">link</a>&nbsp;<br/>', ['<a href="x>y">', "</a>", "&nbsp;", "<br/>"]),
        ("<!-- no --> if a < b", ["<!-- no -->", "<"]),
        ("See https://x.org/a_(b)?q={id}. Or (www.y.de/z).", ["https://x.org/a_(b)?q={id}", "www.y.de/z"]),
        ("Mail a.b+c@d-e.org, read README.md in /usr/local", ["a.b+c@d-e.org", "README.md", "/usr/local"]),
        ("Run `llmos ps` with snake_case", ["`llmos ps`", "snake_case"]),
        ("It costs € 1,234.50, 10 %, US$ 5 or 20 CHF", ["€ 1,234.50", "10 %", "US$ 5", "20 CHF"]),
        ("5 km at -5 °C, 1 000 000 times", ["5 km", "-5 °C", "1 000 000"]),
        ("On 2026-11-30 at 10:30, in 1948.", ["2026-11-30", "10:30", "1948"]),
        ("COVID-19, MP3 and AB123456, v1.2.3", ["COVID-19", "MP3", "AB123456", "v1.2.3"]),
        ("The 1st of 5 in a row, a 5-star hotel", ["1", "5", "5"]),
        ("Call +49 30 1234567", ["+49 30 1234567"]),
        ("我有5个苹果，见https://x.org/z。", ["5", "https://x.org/z"]),
        ("**Bold** [text](https://x.org) ~~no~~", ["**", "**", "[", "](https://x.org)", "~~", "~~"]),
        ("e.g. this and that, i.e. nothing. The end", []),
    ],
)
def test_what_a_program_or_a_reader_relies_on_is_kept(text: str, pieces: list[str]) -> None:
    assert kept(text) == pieces


def test_blocks_of_code_are_kept_whole() -> None:
    assert kept("Do:\n```py\nx = {1}\n```\nDone") == ["```py\nx = {1}\n```"]
    assert kept("Do:\n~~~\nnever closed") == ["~~~\nnever closed"]
    assert kept("<pre>a\n<b></pre> b") == ["<pre>a\n<b></pre>"]


def test_a_plural_message_is_one_piece_with_branches() -> None:
    text = "You have {n, plural, =0 {nothing} one {# <b>item</b>} other {# of {who}}} here"
    (piece,) = find_pieces(text)
    assert piece.kind == "message"
    assert [piece.text[start:end] for start, end in piece.branches] == ["nothing", "# <b>item</b>", "# of {who}"]


@pytest.mark.parametrize("text", ["{n, plural, one {a}", "{n, plural, }", "{n, plural, one {a} x}", "{" * 5000])
def test_what_only_looks_like_a_message_is_none(text: str) -> None:
    assert "message" not in [piece.kind for piece in find_pieces(text)]


@pytest.mark.parametrize("text", ["<a " * 20_000, "{" * 20_000, "1," * 20_000, "a.b" * 10_000, "`x" * 20_000])
def test_hostile_texts_are_searched_to_their_end(text: str) -> None:
    pieces = find_pieces(text)
    assert all(one.end <= other.start for one, other in pairwise(pieces))


def test_a_pattern_forbids_the_signs_that_pieces_have() -> None:
    """The same set, as Python and as Rust's regex read it."""
    python = re.compile(f"[{SYMBOLS}]")
    plain = FORBIDDEN.replace(r"\p{Nd}", "").replace(r"\p{Cc}", "").replace(r"\p{Sc}", "").replace(r"\p{Co}", "")
    rust = re.compile(f"[{plain}]")
    for sign in map(chr, range(0xD800)):
        if python.match(sign):
            assert rust.match(sign) or unicodedata.category(sign) in ("Cc", "Sc", "Co"), repr(sign)
