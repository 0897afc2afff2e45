"""Pages move when they become a site; their links move along."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_PROTOCOLS = ("http://", "https://", "mailto:")


def local_links(text: str) -> Iterator[str]:
    """Yield the targets of links in Markdown that lead to files or headings, those in code left out."""
    for number, part in enumerate(_FENCE.split(text)):
        if number % 2 == 0:
            yield from (target for _, target in LINK.findall(part) if not target.startswith(_PROTOCOLS))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a Markdown text, as GitHub and MyST make them."""
    prose = "".join(_FENCE.split(text)[::2])
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    """Return the links of a Markdown file that lead nowhere."""
    broken = []
    for target in local_links(path.read_text()):
        file, _, anchor = target.partition("#")
        there = path if not file else path.parent / file
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there.read_text())):
            broken.append(target)
    return broken


def copy_page(source: Path, page: Path, pages: Mapping[Path, str]) -> None:
    """Copy a Markdown file of the repository to its place in the site, links to other pages adapted.

    What is not part of the site is named instead of linked.

    Args:
        source: file of the repository.
        page: where to write it.
        pages: place in the site by file of the repository; ``source`` among them.
    """
    depth = pages[source].count("/")
    top = page.parents[depth]

    def moved(match: re.Match[str]) -> str:
        text, target = match.groups()
        if target.startswith((*_PROTOCOLS, "#")):
            return match[0]
        file, _, anchor = target.partition("#")
        there = pages.get(Path(os.path.normpath(source.parent / file)))
        if there is None:
            return text if text.startswith("`") else f"`{text}`"
        return f"[{text}]({os.path.relpath(top / there, page.parent)}{'#' + anchor if anchor else ''})"

    parts = _FENCE.split(source.read_text())
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("".join(parts))
