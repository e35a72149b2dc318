"""A page of results: sections with plots, tables and motions; one HTML file that asks nothing of the network."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #4a525c; --line: #b9c0c9; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --ink: #e8eaed; --soft: #b3bac3; --line: #454d57; }
}
body { margin: 0 auto; max-width: 1100px; padding: 12px 16px 40px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 22px; } h2 { font-size: 18px; border-top: 1px solid var(--line); padding-top: 14px; margin-top: 28px; }
h3 { font-size: 15px; margin: 18px 0 6px; } p { margin: 4px 0; color: var(--soft); }
* { box-sizing: border-box; }
img { display: block; max-width: 100%; min-width: 560px; padding: 6px; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; }
iframe { display: block; width: 100%; height: 560px; border: 1px solid var(--line); border-radius: 8px; }
summary { cursor: pointer; padding: 6px 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 6px 0; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 140px; }
th.words, td.words { text-align: left; white-space: normal; min-width: 180px; }
"""


@dataclass(frozen=True)
class Table:
    """Cells under the names of columns; the first column names the rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Part:
    """Something to look at, with what is said of it.

    Attributes:
        title: above it.
        notes: lines of text below the title.
        picture: SVG, if any; `alt` says in words what it shows.
        table: numbers, if any.
        viewer: a page of motions (`viewer_page`), if any.
    """

    title: str
    notes: Sequence[str] = ()
    picture: str = ""
    alt: str = ""
    table: Table | None = None
    viewer: str = ""


def report_page(heading: str, sections: Sequence[tuple[str, Sequence[Part]]]) -> str:
    """The page.

    Args:
        heading: its title.
        sections: titles with their parts. All texts are plain; what looks like HTML in them is shown as it is written.
    """
    body = "\n".join(
        f"<section>\n<h2>{html.escape(title)}</h2>\n" + "\n".join(map(_part, parts)) + "\n</section>"
        for title, parts in sections
    )
    title = html.escape(heading)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="LaMP">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def _part(part: Part) -> str:
    lines = [f"<h3>{html.escape(part.title)}</h3>"]
    lines += [f"<p>{html.escape(note)}</p>" for note in part.notes]
    if part.picture:
        # As an image it runs no script, and names inside two pictures cannot meet.
        data = base64.b64encode(part.picture.encode()).decode()
        image = f'<img alt="{html.escape(part.alt)}" src="data:image/svg+xml;base64,{data}">'
        lines.append(_wide(image, f"{part.title}: plot"))
    if part.table:
        lines.append(_table(part.table, part.title))
    if part.viewer:
        # Begun when it is opened: a page has several, and each of them draws all the time.
        frame = f'<iframe title="{html.escape(part.title)}" sandbox="allow-scripts" loading="lazy"'
        frame += f' srcdoc="{html.escape(part.viewer)}"></iframe>'
        lines.append(f"<details><summary>{html.escape(part.title)} in 3D</summary>\n{frame}</details>")
    return "\n".join(lines)


def _table(table: Table, name: str) -> str:
    wordy = {i for row in table.rows for i, cell in enumerate(row) if str(cell)[:1] not in "-0123456789"}
    kinds = [' class="words"' if i in wordy else "" for i in range(len(table.columns))]
    head = "".join(f'<th scope="col"{kind}>{html.escape(name)}</th>' for name, kind in zip(table.columns, kinds))
    body = ""
    for first, *cells in table.rows:
        row = "".join(f"<td{kind}>{html.escape(str(cell))}</td>" for cell, kind in zip(cells, kinds[1:]))
        body += f'<tr><th scope="row">{html.escape(str(first))}</th>{row}</tr>\n'
    inner = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
    return _wide(inner, f"{name}: numbers")


def _wide(inner: str, name: str) -> str:
    """What is scrolled sideways where a screen is narrow, by keyboard too."""
    return f'<div class="wide" role="region" aria-label="{html.escape(name)}" tabindex="0">{inner}</div>'
