"""The page of an invoice: HTML for the screen, light and dark, and for paper. No scripts, nothing from elsewhere."""

from html import escape

from llmos.billing.invoices.wording import (
    facts_of,
    money,
    party_lines,
    price_of,
    quantity_of,
    remark_of,
    title_of,
)
from llmos.core.pages.document import document, facts_table
from llmos.core.schemas.invoices import InvoiceDescription, InvoiceLine, Party

_STYLE = """
body { max-width: 960px; }
header { display: flex; justify-content: space-between; gap: 32px; flex-wrap: wrap; margin-bottom: 24px; }
address { font-style: normal; overflow-wrap: anywhere; max-width: 44ch; }
address b { display: block; }
.from { text-align: right; color: var(--dim); } .from b { color: var(--ink); }
.lines { width: 100%; margin-top: 24px; }
.lines td, .lines th { white-space: nowrap; padding-right: 12px; }
.lines td:last-child, .lines th:last-child { padding-right: 0; }
.lines td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 20ch; }
.lines .month td { color: var(--dim); border-bottom: 0; padding-top: 14px; }
tfoot td { border-bottom: 0; } tfoot tr:first-child td { border-top: 2px solid var(--ink); padding-top: 10px; }
tfoot .total td { font-weight: 600; font-size: 17px; border-top: 1px solid var(--line); padding-top: 8px; }
.note { white-space: pre-line; margin-top: 24px; overflow-wrap: anywhere; }
@media print {
  :root { --paper: #fff; --ink: #000; --dim: #444; --line: #bbb; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 12px; } thead { display: table-header-group; }
  tr { break-inside: avoid; } tfoot { display: table-row-group; break-inside: avoid; }
}
@page { margin: 18mm; }
"""


def invoice_page(invoice: InvoiceDescription) -> str:
    """Return the page of an invoice. The same invoice has the same page, to the byte."""
    title = title_of(invoice)
    header = f"<header>{_party(invoice.buyer, 'to')}{_party(invoice.seller, 'from')}</header>"
    payment = f"<p>Please pay to: {escape(invoice.seller.payment)}</p>" if invoice.seller.payment else ""
    note = f'<p class="note">{escape(invoice.note)}</p>' if invoice.note else ""
    body = [
        header,
        f"<h1>{escape(title)}</h1>",
        facts_table(facts_of(invoice)),
        f'<div class="scroll"><table class="lines">{_head(invoice)}<tbody>{_lines(invoice)}</tbody>'
        f"<tfoot>{_sums(invoice)}</tfoot></table></div>",
        payment if invoice.kind == "invoice" else "",
        note,
        f'<p class="dim">{escape(remark_of(invoice))}</p>',
    ]
    return document(f"{title}, {invoice.seller.name}" if invoice.seller.name else title, body, style=_STYLE)


def _party(party: Party, kind: str) -> str:
    first, *rest = party_lines(party) or [""]
    lines = "<br>".join(escape(line) for line in rest)
    return f'<address class="{kind}"><b>{escape(first)}</b>{lines}</address>'


def _head(invoice: InvoiceDescription) -> str:
    currency = escape(invoice.currency)
    return f"<thead><tr><th>Service</th><th>Quantity</th><th>Price</th><th>{currency}</th></tr></thead>"


def _lines(invoice: InvoiceDescription) -> str:
    rows: list[str] = []
    month = invoice.month
    for line in invoice.lines:
        if line.month != month or (not rows and line.month != invoice.month):
            rows.append(f'<tr class="month"><td colspan="4">{escape(line.month)}</td></tr>')
            month = line.month
        rows.append(_line(line))
    return "".join(rows)


def _line(line: InvoiceLine) -> str:
    cells = (line.description, quantity_of(line), price_of(line), money(line.amount))
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _sums(invoice: InvoiceDescription) -> str:
    sums = [("Net", invoice.net), *((tax.name, tax.amount) for tax in invoice.taxes)]
    rows = "".join(f'<tr><td colspan="3">{escape(name)}</td><td>{money(amount)}</td></tr>' for name, amount in sums)
    total = f"{money(invoice.total)} {invoice.currency}"
    return f'{rows}<tr class="total"><td colspan="2">Total</td><td colspan="2">{escape(total)}</td></tr>'
