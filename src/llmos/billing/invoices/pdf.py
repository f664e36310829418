"""The PDF of an invoice. Needs the extra `llmos[billing]`.

The fonts are those that every reader of PDF has: Helvetica, and for Chinese, Japanese and Korean the standard ones of
the format, which need no files. A letter that none has is drawn without its marks; the page (page.py) has all.
The same invoice has the same bytes.
"""

import io
import re
import unicodedata
from functools import cache
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from llmos.billing.invoices.wording import (
    facts_of,
    money,
    party_lines,
    price_of,
    quantity_of,
    remark_of,
    title_of,
)
from llmos.core.errors import BadRequest
from llmos.core.schemas.invoices import InvoiceDescription, InvoiceLine, Party

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

_CHINESE, _JAPANESE, _KOREAN = "STSong-Light", "HeiseiMin-W3", "HYSMyeongJo-Medium"
_LATIN = "Vera"
"""A font of reportlab with the letters of Central Europe that Helvetica lacks."""
_ASIAN = re.compile(r"[\u0370-\u0451\u1100-\u11ff\u2e80-\uffef]")
"""Characters that the standard fonts for Chinese, Japanese and Korean contain, which include Greek and Russian."""
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
_DIM, _LINE = "#59636e", "#b9c1c9"
_MARGIN_MM = 20
_FRAME_PADDING = 6
"""Points that the layout keeps free inside the margins."""
_WIDTHS_MM = (71, 43, 34, 22)


def invoice_pdf(invoice: InvoiceDescription) -> bytes:
    """Return the PDF of an invoice. Raises BadRequest where the package for it isn't installed."""
    try:
        from reportlab import rl_config
    except ModuleNotFoundError:
        raise BadRequest(
            "PDFs need another package: pip install 'llmos[billing]'. A page that prints: --html"
        ) from None
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    assert rl_config is not None
    _register_fonts()
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        title=title_of(invoice),
        author=invoice.seller.name,
        creator="LLMOS",
        leftMargin=_MARGIN_MM * mm - _FRAME_PADDING,
        rightMargin=_MARGIN_MM * mm - _FRAME_PADDING,
        topMargin=_MARGIN_MM * mm,
        bottomMargin=_MARGIN_MM * mm,
        invariant=1,
    )
    document.build(_parts(invoice), onFirstPage=_footer(invoice), onLaterPages=_footer(invoice))
    return file.getvalue()


def _register_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (_CHINESE, _JAPANESE, _KOREAN):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont(name))
    if _LATIN not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(_LATIN, "Vera.ttf"))


def _parts(invoice: InvoiceDescription) -> "list[Flowable]":
    from reportlab.lib.units import mm
    from reportlab.platypus import Spacer, Table

    parties = Table([[_party(invoice.buyer), _party(invoice.seller, dim=True)]], colWidths=[85 * mm, 85 * mm])
    parties.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, 0), 0)])
    facts = Table(
        [[_text(name, dim=True), _text(value)] for name, value in facts_of(invoice).items()],
        colWidths=[38 * mm, 132 * mm],
    )
    facts.setStyle(
        [
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 0),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ]
    )
    parts: list[Any] = [parties, Spacer(0, 12 * mm), _text(title_of(invoice), size=17), Spacer(0, 4 * mm), facts]
    parts += [Spacer(0, 8 * mm), _lines(invoice), _sums(invoice), Spacer(0, 8 * mm)]
    if invoice.seller.payment and invoice.kind == "invoice":
        parts += [_text(f"Please pay to: {invoice.seller.payment}"), Spacer(0, 4 * mm)]
    parts += [_text(line or " ") for line in invoice.note.splitlines()]
    return [*parts, Spacer(0, 4 * mm), _text(remark_of(invoice), dim=True)]


def _party(party: Party, *, dim: bool = False) -> "list[Flowable]":
    first, *rest = party_lines(party) or [""]
    return [_text(first, bold=True), *(_text(line, dim=dim) for line in rest)]


def _lines(invoice: InvoiceDescription) -> "Flowable":
    from reportlab.lib.units import mm
    from reportlab.platypus import Table

    rows: list[list[Any]] = [
        [
            _text(name, bold=True, right=bool(place))
            for place, name in enumerate(("Service", "Quantity", "Price", invoice.currency))
        ]
    ]
    month = invoice.month
    for line in invoice.lines:
        if line.month != month:
            rows.append([_text(line.month, dim=True), "", "", ""])
            month = line.month
        rows.append(_row(line))
    table = Table(rows, colWidths=[width * mm for width in _WIDTHS_MM], repeatRows=1)
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        ]
    )
    return table


def _row(line: InvoiceLine) -> list[Any]:
    cells = (quantity_of(line), price_of(line), money(line.amount))
    return [_text(line.description), *(_text(cell, right=True) for cell in cells)]


def _sums(invoice: InvoiceDescription) -> "Flowable":
    from reportlab.lib.units import mm
    from reportlab.platypus import KeepTogether, Table

    sums = [("Net", invoice.net), *((tax.name, tax.amount) for tax in invoice.taxes)]
    rows = [[_text(name, right=True), _text(money(amount), right=True)] for name, amount in sums]
    total = f"{money(invoice.total)} {invoice.currency}"
    rows.append([_text("Total", right=True, bold=True), _text(total, right=True, bold=True)])
    table = Table(rows, colWidths=[120 * mm, 50 * mm])
    table.setStyle([("RIGHTPADDING", (-1, 0), (-1, -1), 0), ("LINEABOVE", (0, -1), (-1, -1), 0.8, "#000000")])
    return KeepTogether([table])


def _footer(invoice: InvoiceDescription) -> Any:
    def draw(canvas: Any, document: Any) -> None:
        from reportlab.lib.units import mm

        paragraph = _text(f"{title_of(invoice)}, page {document.page}", dim=True, size=8)
        paragraph.wrap(150 * mm, 10 * mm)
        paragraph.drawOn(canvas, _MARGIN_MM * mm, 10 * mm)

    return draw


def _text(text: str, *, size: int = 9, bold: bool = False, dim: bool = False, right: bool = False) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        "text",
        fontName="Helvetica-Bold" if bold else "Helvetica",
        fontSize=size,
        leading=size * 1.35,
        alignment=TA_RIGHT if right else TA_LEFT,
        textColor=HexColor(_DIM) if dim else HexColor("#000000"),
        splitLongWords=1,
    )
    return Paragraph(_with_fonts(text), style)


def _with_fonts(text: str) -> str:
    """Return the text as reportlab's markup, with another font for what Helvetica doesn't have."""
    asian = _JAPANESE if _KANA.search(text) else _KOREAN if _HANGUL.search(text) else _CHINESE
    runs = groupby(((_font_of(each, asian), each) for each in map(_drawable, text)), key=itemgetter(0))
    return "".join(_run(font, "".join(each for _, each in run)) for font, run in runs)


def _run(font: str, text: str) -> str:
    return f'<font name="{font}">{escape(text)}</font>' if font else escape(text)


def _font_of(text: str, asian: str) -> str:
    """Return the font that has a character; empty: Helvetica."""
    if _is_in_helvetica(text):
        return ""
    return asian if _ASIAN.match(text) else _LATIN


def _drawable(character: str) -> str:
    """Return a character, or without its marks if no font has it, or a question mark."""
    if _is_in_helvetica(character) or _ASIAN.match(character) or ord(character) in _latin_characters():
        return character
    base = "".join(each for each in unicodedata.normalize("NFKD", character) if not unicodedata.combining(each))
    return base if base and _is_in_helvetica(base) else "?"


def _is_in_helvetica(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


@cache
def _latin_characters() -> frozenset[int]:
    from reportlab.pdfbase import pdfmetrics

    font: Any = pdfmetrics.getFont(_LATIN)
    return frozenset(font.face.charToGlyph)
