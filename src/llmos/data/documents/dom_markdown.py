"""HTML to blocks of Markdown: headings, paragraphs, lists, tables, quotes and code.

Links and emphasis are kept as their text alone. Text that readers don't see (hidden, navigation, forms) is left out and
counted. Nothing here is recursive, so that no depth of nesting ends it.
"""

import re
from typing import Any

from resiliparse.parse.html import DOMContext, ElementNode, HTMLTree, NodeType, traverse_dom

from llmos.data.documents.builder import DocumentBuilder
from llmos.data.documents.dom_table import MAX_SPAN, TableCells

_INVISIBLE = frozenset(["canvas", "head", "iframe", "math", "noscript", "object", "script", "style", "svg", "template"])
"""Elements whose text isn't one of the document."""

_LEFT_OUT = {
    "button": "form",
    "dialog": "hidden_text",
    "footer": "footer",
    "nav": "navigation",
    "select": "form",
    "textarea": "form",
}

_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\n\r\f]+")
_FENCE = re.compile(r"^`{3,}", re.MULTILINE)
_MAX_INDENT = 8
"""The levels of lists and quotes that are indented. Deeper ones are as deep as this."""


def write_markdown(tree: HTMLTree, builder: DocumentBuilder) -> str:
    """Add the blocks of a page's body to a document, and return all text that was found in it, kept or not."""
    if tree.body is None:
        return ""
    writer = _Writer(builder)
    traverse_dom(tree.body, start_callback=writer.start, end_callback=writer.end)
    return writer.finish()


class _Writer:
    """Receives elements and texts in their order."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        """The text of the open block."""
        self._found: list[str] = []
        self._lists: list[int | None] = []
        """The open lists: the number of the last item, or None for one with bullets."""
        self._marker = ""
        """The beginning of the next block: the bullet or number of an item."""
        self._num_quotes = 0
        self._heading = 0
        self._is_code = False
        self._table: TableCells | None = None
        self._table_depth = 0
        self._was_in_list = False
        self._skipped_depth: int | None = None
        """The depth of the element that is left out, with all that is in it."""
        self._skipped: tuple[str, list[str]] | None = None
        """The kind and the texts of the element that is left out; None for an invisible one."""

    def start(self, context: DOMContext) -> None:
        node: Any = context.node
        if node.type == NodeType.TEXT:
            self._add_text(node.value or "")
        elif self._skipped_depth is None and node.type == NodeType.ELEMENT:
            tag = node.tag
            what = _reason_to_skip(node, tag)
            if what is not None:
                self._skipped_depth, self._skipped = context.depth, (what, []) if what else None
            else:
                self._start_element(node, tag, context.depth)

    def end(self, context: DOMContext) -> None:
        if self._skipped_depth is not None:
            if context.depth == self._skipped_depth:
                self._end_skipped()
            return
        node: Any = context.node
        if node.type == NodeType.ELEMENT:
            self._end_element(node.tag, context.depth)

    def finish(self) -> str:
        self._end_skipped()
        self._end_table()
        self._end_block()
        return "".join(self._found)

    def _end_skipped(self) -> None:
        if self._skipped is not None:
            what, texts = self._skipped
            self._builder.leave_out(what, "".join(texts))
        self._skipped_depth = self._skipped = None

    def _add_text(self, text: str) -> None:
        if self._skipped_depth is not None:
            if self._skipped is None:
                return
            self._skipped[1].append(text)
        else:
            self._put(text if self._is_code else _SPACES.sub(" ", text))
        self._found.append(text)

    def _put(self, text: str) -> None:
        cell = self._table.parts if self._table is not None else None
        (self._inline if cell is None else cell).append(text)

    def _start_element(self, node: ElementNode, tag: str, depth: int) -> None:
        if tag == "br":
            self._put("\n")
        elif tag == "img":
            self._builder.leave_out("image")
            alternative = node.getattr("alt") or ""
            self._found.append(alternative)
            self._put(f" {alternative} ")
        elif tag == "code" and not self._is_code:
            self._put("`")
        elif self._table is not None:
            self._start_in_table(node, tag)
        elif tag in _BLOCKS:
            self._start_block(node, tag, depth)

    def _start_in_table(self, node: ElementNode, tag: str) -> None:
        assert self._table is not None
        if tag == "tr":
            self._table.start_row()
        elif tag in ("td", "th"):
            self._table.start_cell(_span(node, "colspan"), _span(node, "rowspan"))
        elif tag in _BLOCKS:
            self._put(" ")

    def _start_block(self, node: ElementNode, tag: str, depth: int) -> None:
        if self._heading:
            self._put(" ")
            return
        self._end_block()
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
        elif tag == "table" and not _is_layout(node):
            self._table, self._table_depth = TableCells(), depth
        elif tag == "pre":
            self._is_code = True
        elif tag == "blockquote":
            self._num_quotes += 1
        elif tag in ("ul", "ol"):
            self._lists.append(None if tag == "ul" else 0)
        elif tag == "li":
            self._start_item()

    def _start_item(self) -> None:
        if self._lists and (number := self._lists[-1]) is not None:
            self._lists[-1] = number + 1
            self._marker = f"{number + 1}. "
        else:
            self._marker = "- "

    def _end_element(self, tag: str, depth: int) -> None:
        if tag == "code" and not self._is_code:
            self._put("`")
        elif self._table is not None:
            if depth == self._table_depth:
                self._end_table()
            elif tag in ("td", "th"):
                self._table.end_cell()
            elif tag in _BLOCKS:
                self._put(" ")
        elif tag in _HEADINGS and self._heading:
            self._end_heading()
        elif tag in _BLOCKS and not self._heading:
            self._end_block()
            if tag == "pre":
                self._is_code = False
            elif tag == "blockquote":
                self._num_quotes -= 1
            elif tag in ("ul", "ol") and self._lists:
                self._lists.pop()
            elif tag == "li":
                self._marker = ""

    def _end_heading(self) -> None:
        title, level = "".join(self._inline), self._heading
        self._inline.clear()
        self._heading, self._marker, self._was_in_list = 0, "", False
        self._builder.add_heading(level, title)

    def _end_table(self) -> None:
        if self._table is None:
            return
        table, repeated = self._table.finish()
        self._table = None
        self._end_block()  # the caption
        if table:
            self._builder.add_own(repeated)
            self._builder.add_table(table)
            self._was_in_list = False

    def _end_block(self) -> None:
        """Add the open block, unless it is empty."""
        if self._heading:  # It has no end of its own.
            self._end_heading()
            return
        text = "".join(self._inline)
        self._inline.clear()
        text = _fenced(text) if self._is_code else "\n".join(" ".join(line.split()) for line in text.split("\n"))
        if not text.strip("\n"):
            return
        quote = "> " * min(self._num_quotes, _MAX_INDENT)
        indent = "  " * min(len(self._lists) - 1, _MAX_INDENT) if self._lists else ""
        rest = quote + indent + ("  " if self._lists and not self._marker else " " * len(self._marker))
        lines = text.strip("\n").split("\n")
        first = quote + indent + self._marker if self._marker else rest
        block = "\n".join([first + lines[0], *[(rest + line).rstrip() for line in lines[1:]]])
        self._builder.add_block(block, is_tight=bool(self._lists) and self._was_in_list)
        self._builder.add_own(self._marker)
        self._was_in_list, self._marker = bool(self._lists), ""


def _reason_to_skip(node: ElementNode, tag: str) -> str | None:
    """Return what is left out; an empty text for elements without text of the document; None for what is kept."""
    if tag in _INVISIBLE:
        return ""
    if tag in _LEFT_OUT:
        return _LEFT_OUT[tag]
    if node.hasattr("hidden") or _HIDDEN_STYLE.search(node.getattr("style") or ""):
        return "hidden_text"
    return None


def _is_layout(table: ElementNode) -> bool:
    """Return whether a table only arranges a page: its cells have headings or other tables in them."""
    if table.getattr("role") == "presentation":
        return True
    return table.query_selector("table, h1, h2, h3, h4, h5, h6") is not None


def _span(node: ElementNode, name: str) -> int:
    value = node.getattr(name) or "1"
    return max(1, min(int(value), MAX_SPAN)) if value.isascii() and value.isdigit() and len(value) < 10 else 1


def _fenced(code: str) -> str:
    code = code.strip("\n")
    if not code.strip():
        return ""
    fence = max(("```", *[f"{each}`" for each in _FENCE.findall(code)]), key=len)
    return f"{fence}\n{code}\n{fence}"
