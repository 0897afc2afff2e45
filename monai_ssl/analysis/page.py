"""The page of an analysis, and the same numbers as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ssl import __version__
from monai_ssl.analysis.section import Section
from monai_ssl.files import atomic, write_json
from monai_ssl.pages import render

PAGE, NUMBERS = "analysis.html", "analysis.json"
_MOST_ROWS = 9
"""Of a table that is shown without being asked for."""


def write_page(folder: Path, title: str, sections: Sequence[Section], further: Sequence[str]) -> Path:
    """Write ``analysis.html``, which needs nothing from outside, and ``analysis.json`` beside it.

    Args:
        folder: of both.
        title: of the page.
        sections: in order.
        further: what could be asked as well, in words.

    Returns:
        The path of the page.
    """
    page = render(__package__, "analysis.html", title=title, sections=sections, further=further, most=_MOST_ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / PAGE) as file:
        file.write(page.encode("utf-8", "replace"))
    numbers = {section.name: _finite(section.numbers) for section in sections}
    write_json(folder / NUMBERS, {"monai_ssl": __version__, **numbers})
    return folder / PAGE


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
