"""Optional dependencies: the libraries of an extra by their own names, for advice that works from any index."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires


def libraries(extra: str) -> list[str]:
    """Return what ``pip install`` must name to get an extra of this package.

    >>> libraries("itk")
    ['itk']
    """
    try:
        wanted = requires("monai-ssl") or []
    except PackageNotFoundError:  # a copied folder
        return [f"monai-ssl[{extra}]"]
    mine = [text for text in wanted if re.search(rf"""extra == ['"]{extra}['"]""", text)]
    return [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in mine]


__all__ = ["libraries"]
