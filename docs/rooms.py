"""The table of rooms in architecture.md, from the tree: ``python docs/rooms.py`` writes it anew."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/architecture.md"
_TABLE = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- /rooms -->)", re.DOTALL)


def rooms_table() -> str:
    """Return a row for each folder and module of the package, with the first line of its docstring."""
    package = ROOT / "monai_ssl"
    folders = sorted(path.parent for path in package.glob("*/__init__.py"))
    modules = sorted(path for path in package.glob("*.py") if not path.name.startswith("__"))
    rows = [
        f"| `{path.name}` | {_first_line(path / '__init__.py' if path.is_dir() else path)} |"
        for path in folders + modules
    ]
    return "\n".join(["| room | content |", "|---|---|", *rows, ""])


def with_table(page: str) -> str:
    """Return the page with the table of today."""
    return _TABLE.sub(lambda _: rooms_table(), page)


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.splitlines()[0].rstrip(".").replace("``", "`")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(with_table(PAGE.read_text()))
