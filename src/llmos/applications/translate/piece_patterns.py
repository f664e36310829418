"""The patterns of pieces, in the order in which they claim their places in a text."""

import re
from typing import Literal

Kind = Literal["code", "tag", "entity", "address", "message", "placeholder", "identifier", "number", "symbol", "term"]

LETTERS = "A-Za-zÀ-ɏͰ-ԯ"
"""The letters of scripts with spaces between words, as the inside of a character class."""
CURRENCIES = "€$£¥₹₽₩₺₴₫฿¢"
SYMBOLS = rf"{{}}<>%‰&@#*_~^|\\`⟦⟧\[\]=+°§№{CURRENCIES}\x00-\x08\x0e-\x1b\x1f\x7f\ue000-\uf8ff"
"""Characters that belong to pieces alone, as the inside of a character class."""

_ISO = "EUR|USD|GBP|JPY|CNY|CHF|SEK|NOK|DKK|PLN|CZK|HUF|RON|RUB|UAH|TRY|INR|BRL|CAD|AUD|KRW"
_SPACE = "[ \u00a0\u202f]"
_CURRENCY = rf"(?:(?<![A-Za-z])(?:US|A|C|NZ|HK|S)\$|[{CURRENCIES}]|(?<![A-Za-z])(?:{_ISO}))"
_UNIT = (
    rf"(?:%|‰|°[CF]?|[{CURRENCIES}]|(?:{_ISO}|km/h|km²|km|cm²|cm|mm²|mm|m²|m³|m|µm|nm|kg|mg|µg|g|ml|cl|dl|l|kWh|MWh|Wh"
    r"|kW|MW|GW|W|kV|V|mAh|GHz|MHz|kHz|Hz|TB|GB|MB|kB|KB|TiB|GiB|MiB|KiB|Gbit/s|Mbit/s|px|pt|dpi|fps|hPa|Pa|kJ|kcal|h"
    rf"|min|ms|rpm)(?![{LETTERS}_]))"
)
_GLUED_UNIT = rf"(?:A|ft|lb|oz|k|M|G|K|D|bn|mph)(?![{LETTERS}_])"
"""Units that are words as well: taken only directly behind a number."""
_DIGITS = rf"(?:\d{{1,3}}(?:{_SPACE}\d{{3}}(?!\d))+(?:[.,]\d+)?|\d+(?:[.,:'’/×–-]\d+)*)"
_SIGN = r"(?:(?<![\w)\].,'’])[-−+±])?"
_NO_ADDRESS = r"\s<>\"`|\\^，。、；：！？（）「」『』\u3040-\u9fff\ufdd0"

CODE: tuple[tuple[Kind, str], ...] = (
    ("code", r"(?m:^[ \t]*(?P<fence>```+|~~~+)[^\n]*\n(?:.*\n)*?(?:[ \t]*(?P=fence)[ \t]*$|.*\Z))"),
    ("code", r"<!--(?:.|\n)*?-->|<!\[CDATA\[(?:.|\n)*?\]\]>|<\?[^<>\n]{0,2000}\?>|<![A-Za-z][^<>]{0,2000}>"),
    ("code", r"(?i:<(?P<raw>script|style|pre|code|kbd|samp|textarea)\b[^<>]{0,2000}>(?:.|\n)*?</(?P=raw)\s*>)"),
    ("code", r"(?<!`)(?P<ticks>`{1,3})(?!`)[^\n`](?:[^\n]{0,2000}?[^\n`])?(?P=ticks)(?!`)"),
)
"""Before ICU's messages."""

MARKUP: tuple[tuple[Kind, str], ...] = (
    ("tag", r"</?[A-Za-z][\w:.-]{0,100}(?:\s(?:[^<>\"']|\"[^\"<]{0,2000}\"|'[^'<]{0,2000}'){0,200})?/?>"),
    ("entity", r"&(?:#\d{1,8}|#[xX][0-9A-Fa-f]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});"),
    ("tag", r"\]\([^()\s]{1,2000}(?:\s\"[^\"\n]{0,300}\")?\)"),  # Behind the text of a Markdown link.
    (
        "address",
        rf"(?i:(?<![a-z])(?:[a-z][a-z0-9+.-]{{1,20}}://|www\.|mailto:|tel:))"
        rf"(?:\{{\{{[^{{}}\n]{{0,300}}\}}\}}|[^{_NO_ADDRESS}])+",
    ),
    ("placeholder", r"\{\{\{[^{}\n]{0,300}\}\}\}|\{\{[^{}\n]{0,300}\}\}|\{%[^{}\n]{0,300}%\}|\{#[^{}\n]{0,300}#\}"),
    ("address", r"(?i:(?<![\w+.-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})"),
    ("address", rf"(?<![\w./-])(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}[a-z]{{2,6}}(?![\w.]\w|\w)(?:/[^{_NO_ADDRESS}]*)?"),
    ("address", r"(?<![\w./-])(?:[\w.-]{1,100}/){1,50}[\w-]{1,100}\.[a-z]{1,5}(?!\w)"),
    ("address", r"(?<![\w.~/])(?:~|\.{1,2})?/(?:[\w.-]{1,100}/){1,50}[\w.-]{0,100}"),
    ("placeholder", r"[$#%@]\{[^{}\n]{0,200}\}|\$\([^()\n]{1,200}\)"),
    ("placeholder", r"\{\s*[\w.\-\[\]$@]{0,100}\s*(?:[!:,][^{}\n]{0,200})?\}"),
    (
        "placeholder",
        r"(?<![\d%])%(?:\(\w{1,64}\))?(?:\d{1,2}\$)?[-+#0]*(?:\d{1,3}|\*)?(?:\.(?:\d{1,3}|\*))?(?:hh?|ll?|[qjzt])?"
        r"[diouxXeEfFgGcrsp@]",
    ),
    ("placeholder", r"%%|(?<!\w)%[A-Za-z_]\w{0,63}%|\$[A-Za-z_]\w{0,63}|(?<!\w)__\w{1,64}__(?!\w)"),
)
"""Behind ICU's messages, before the terms of a glossary."""

OTHERS: tuple[tuple[Kind, str], ...] = (
    ("identifier", r"(?<![\w-])[A-Za-z][A-Za-z0-9]{0,63}(?:_[A-Za-z0-9]{1,63}){1,20}(?!\w)"),
    ("identifier", rf"(?<!\w)(?:[A-Z]{{1,8}}-\d\w*(?:-\w+)*|[{LETTERS}]+\d\w*(?:[.-]\d\w*)*)"),
    ("number", r"(?<![\w+])\+\d[\d ()/-]{5,20}\d"),
    (
        "number",
        rf"(?:#|[§№]{_SPACE}?)?{_SIGN}(?:{_CURRENCY}{_SPACE}?)?{_SIGN}{_DIGITS}(?:{_SPACE}?{_UNIT}|{_GLUED_UNIT})?",
    ),
    ("symbol", rf"(?P<symbol>[{SYMBOLS}])(?P=symbol)*"),
)
MASK = "\ufdd0"
"""Stands for a character that has been claimed. It is no character of any text."""

COMPILED_CODE = [(kind, re.compile(pattern)) for kind, pattern in CODE]
COMPILED_MARKUP = [(kind, re.compile(pattern)) for kind, pattern in MARKUP]
COMPILED_OTHERS = [(kind, re.compile(pattern)) for kind, pattern in OTHERS]
