"""A report as one page of HTML that stands alone: no script, nothing fetched, to print as well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from actsearch.markup import html_lines, html_table

STYLE = """
:root { color-scheme: light dark; --ink: #1f2329; --page: #fff; --rule: #d5d9de; --soft: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --page: #14171b; --rule: #3a4048; --soft: #1d2126; }
}
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; display: block; font-size: .9rem; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--rule); padding: .35rem .8rem .35rem 0; text-align: left;
  vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
pre { background: var(--soft); border-radius: 6px; overflow-x: auto; padding: .8rem; }
figure { margin: 1.2rem 0; } figure svg { height: auto; max-width: 100%; }
@media print {
  :root { --ink: #000; --page: #fff; --rule: #bbb; --soft: #f4f4f4; }
  body { font-size: 10pt; margin: 0; max-width: none; }
  figure, tr, pre { break-inside: avoid; } h2 { break-after: avoid; }
  pre { white-space: pre-wrap; } table { display: table; }
}
"""


Rows = tuple[list[str], list[list[str]]]
"""Header and lines of a table."""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Args:
        title: its heading.
        text: paragraphs; lines indented by four are code.
        rows: a table.
        shown: names of the pictures that belong there, without their endings.
    """

    title: str
    text: str = ""
    rows: Rows | None = None
    shown: tuple[str, ...] = ()


def page(title: str, parts: Sequence[Section], pictures: Path) -> str:
    """Return a page with the pictures of a folder in it, where they are there.

    Everything is escaped but the pictures, which are ours.
    """
    body = "\n".join(_part(part, "h2" if n else "h1", pictures) for n, part in enumerate(parts))
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: actsearch</title>\n<style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _part(part: Section, heading: str, folder: Path) -> str:
    drawn = [file for name in part.shown if (file := folder / f"{name}.svg").exists()]
    if not (part.text or part.rows or drawn):
        return ""
    text = html_lines(part.text) if part.text else ""
    table = html_table(*part.rows) if part.rows else ""
    figures = "\n".join(_figure(file) for file in drawn)
    return f"<section><{heading}>{escape(part.title)}</{heading}>{text}{table}\n{figures}</section>"


def _figure(file: Path) -> str:
    """Return a picture as a part of the page, its ids its own."""
    drawn = file.read_text("utf-8")
    drawn = drawn[drawn.index("<svg") :]
    name = file.stem
    drawn = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return f'<figure role="img" aria-label="{escape(name)}">{drawn}</figure>'
