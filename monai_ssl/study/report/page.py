"""The document around a report: one file that asks nobody for anything, on a desk or a phone, in light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

COLORS = 8
"""Number of colors of lines; beyond it they come again, dashed."""

_STYLE = """
:root{color-scheme:light dark;--page:#fff;--text:#1b1f24;--faint:#59636e;--rule:#d1d9e0;--band:#f6f8fa;
--good:#116329;--bad:#a40e26;--c0:#0072b2;--c1:#d55e00;--c2:#008060;--c3:#b0307f;--c4:#7a5b00;--c5:#1b85c4;
--c6:#6e40c9;--c7:#5f6b00}
@media (prefers-color-scheme:dark){:root{--page:#0f1419;--text:#e6e9ec;--faint:#9aa4ae;--rule:#333c46;--band:#1a2129;
--good:#5bd67f;--bad:#ff8f8f;--c0:#5ab4f0;--c1:#ff9650;--c2:#3fcfa0;--c3:#f08cc4;--c4:#e0b83f;--c5:#9ad4ff;
--c6:#b79aff;--c7:#c3d04a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1260px;padding:1rem clamp(.75rem,3vw,2rem) 4rem;background:var(--page);
color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{line-height:1.2;margin:.5rem 0}h2{margin:2.5rem 0 .5rem;border-bottom:1px solid var(--rule);padding-bottom:.25rem}
h3{margin:1.5rem 0 .5rem}p{max-width:75ch;margin:.5rem 0}li{max-width:75ch}.faint{color:var(--faint)}
.scroll{overflow-x:auto;margin:.75rem 0;border:1px solid var(--rule);border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.3rem .45rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
td.text,th.text{text-align:left}td.text:last-child{white-space:normal;min-width:9rem}
thead th{background:var(--band);font-weight:600;vertical-align:bottom;white-space:normal}
tbody tr:last-child>*{border-bottom:0}tr.scratch{background:var(--band)}
.wide{white-space:normal;min-width:16rem;overflow-wrap:anywhere}
.better{color:var(--good);font-weight:600}.worse{color:var(--bad);font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:1rem}
figure{margin:0}figcaption{font-size:.9rem}.chart{width:100%;height:auto;display:block}
.chart text{fill:var(--faint);font:13px system-ui,sans-serif;text-anchor:middle}.chart text.left{text-anchor:end}
.chart text.axis{fill:var(--text)}.grid{stroke:var(--rule)}
.series{stroke:currentColor;fill:none;stroke-width:2}.series circle{fill:currentColor;stroke:none}
.series.again{stroke-dasharray:7 4}.series.again line{stroke-dasharray:none}
.curves circle{r:2px}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.5rem 0}
.key li::before{content:"";display:inline-block;width:1.5em;border-top:3px solid;margin-right:.5em;vertical-align:.3em}
.key li.again::before{border-top-style:dashed}
.key span{color:var(--text)}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,240px),1fr));gap:1rem}
.pictures img{width:100%;height:auto;display:block;border-radius:4px}
details{margin:.75rem 0}summary{cursor:pointer;font-weight:600}
pre{overflow-x:auto;background:var(--band);padding:.75rem;border-radius:6px;font-size:.85rem;overflow-wrap:normal}
.s0{color:var(--text)}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """Return the document of finished parts; the policy in its head forbids it any request."""
    colors = "".join(f".s{i + 1}{{color:var(--c{i})}}" for i in range(COLORS))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{colors}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(part for part in parts if part) + "\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], texts: Sequence[int], label: str) -> str:
    """Return a table that scrolls sideways by itself.

    Args:
        head: of the columns, plain text.
        rows: (class of the row, cells); a cell is a finished element or plain text, see :func:`cell`.
        texts: columns that hold words, which stand on the left.
        label: what the table is, for those who do not see it.
    """
    columns = "".join(f'<th scope="col"{_text(i in texts)}>{escape(name)}</th>' for i, name in enumerate(head))
    lines = []
    for style, cells in rows:
        line = "".join(c if c.startswith("<td") else cell(c, "text" if i in texts else "") for i, c in enumerate(cells))
        lines.append(f'<tr class="{style}">{line}</tr>' if style else f"<tr>{line}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def cell(text: str, style: str = "") -> str:
    """Return one cell of plain text."""
    return f'<td class="{style}">{escape(text)}</td>' if style else f"<td>{escape(text)}</td>"


def paragraph(text: str, style: str = "") -> str:
    return f'<p class="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def folded(summary: str, content: str) -> str:
    """Hide content behind a line to click on."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>" if content else ""


def _text(is_text: bool) -> str:
    return ' class="text"' if is_text else ""


__all__ = ["COLORS", "bullets", "cell", "folded", "page", "paragraph", "table"]
