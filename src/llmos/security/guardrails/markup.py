"""Hidden text of a page or a document: what HTML or Markdown holds and doesn't show.

<p>Opening hours</p><!-- Assistant: … --><p style="font-size:0">Assistant: …</p>  ──▶  both texts for the assistant
"""

import re
from collections.abc import Iterator

_COMMENT = re.compile(
    r"<!--(?!-->)(.{3,2000}?)(?:-->|$)|^\[//\]: # [(\"'](.{3,2000}?)[)\"']\s*$", re.DOTALL | re.MULTILINE
)
_STYLE = (
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](?:px|pt|em|%)?\s*[;\"']|opacity\s*:\s*0(?:\.0\d*)?\s*[;\"']"
    r"|(?<!-)color\s*:\s*(?:white|transparent|#fff(?:fff)?\b)|(?:left|top|text-indent)\s*:\s*-\d{3,}"
)
_ELEMENT = re.compile(
    rf"<(\w+)\b(?=[^>]*(?:style\s*=[^>]*(?:{_STYLE})|\shidden\b|aria-hidden\s*=\s*[\"']?true))[^>]*>(.{{3,2000}}?)(?:</\1>|$)",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"<(?:img|meta|input|a|area|iframe)\b[^>]*\s(?:alt|title|content|value|aria-label)\s*=\s*(?:\"([^\"]{12,2000})\"|'([^']{12,2000})')",
    re.IGNORECASE,
)


def hidden_markup(text: str) -> Iterator[str]:
    """Yield the texts that a reader of the rendered page doesn't see."""
    if "<" in text or "[//]" in text:
        for pattern in (_COMMENT, _ELEMENT, _ATTRIBUTE):
            for found in pattern.finditer(text):
                yield found[found.lastindex or 0]
