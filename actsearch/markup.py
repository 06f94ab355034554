"""Tables in HTML, whatever their cells hold."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def html_table(header: Sequence[str], lines: Sequence[Sequence[object]], caption: str = "") -> str:
    """Return a table in HTML, with everything escaped.

    >>> html_table(["site"], [["<b>"]])
    '<table><thead><tr><th>site</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in line)}</tr>" for line in lines
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_lines(text: str) -> str:
    r"""Return paragraphs in HTML, with everything escaped; lines indented by four are code.

    >>> html_lines("Do:\n\n    a < b")
    '<p>Do:</p><pre>a &lt; b</pre>'
    """
    parts = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            code = escape("\n".join(line[4:] for line in lines))
            parts.append(f"<pre>{code}</pre>")
        else:
            parts.append(f"<p>{'<br>'.join(map(escape, lines))}</p>")
    return "".join(parts)
