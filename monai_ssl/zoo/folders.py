"""Where the bundles are: beside this package, in the checkout as well as installed."""

from __future__ import annotations

import difflib
from pathlib import Path

# a link to the checkout's `bundles`; the wheel holds the files themselves
_SHIPPED = Path(__file__).parents[1] / "bundles"


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that come with this package, sorted."""
    return sorted(path.parents[1].name for path in _SHIPPED.glob("*/configs/metadata.json"))


def bundle_folder(name: str | Path) -> Path:
    """Return the folder of a bundle.

    Args:
        name: of a bundle that comes with this package, or the path of any bundle's folder.

    Raises:
        ValueError: when there is no such bundle.
    """
    for folder in (_SHIPPED / name, Path(name)):
        if (folder / "configs" / "metadata.json").is_file():
            return folder.resolve()
    known = shipped_bundles()
    near = difflib.get_close_matches(str(name), known, n=1)
    raise ValueError(
        f"There is no bundle `{name}`{f'; did you mean `{near[0]}`?' if near else '.'} Give the folder of one (with "
        f"`configs/metadata.json`), or one of: {', '.join(known)}."
    )
