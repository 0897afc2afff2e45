"""The table from a paper's hyper-parameters to the keys of our bundles, with the defaults read from them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from pydoc import locate
from typing import Any

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
ALL_METHODS = (
    ("epochs", "max_epochs"),
    ("mini-batch", "batch_size"),
    ("crops of a scan in an epoch", "windows_per_scan"),
    ("width of the encoder", "widths` (3-D), `width"),
    ("size of the input", "roi_size"),
)
_LONG = 60


def table() -> dict[str, list[list[str]]]:
    """Return pairs of the paper's name and our key, by method."""
    return dict(json.loads(Path(__file__).with_name("hyperparameters.json").read_text()))


def default_of(config: dict[str, Any], key: str) -> Any:
    """Return what ``key`` stands for in a bundle, or the default of the argument that it would set.

    Args:
        config: the bundle's JSON.
        key: path with ``#``, as in an override.

    Raises:
        KeyError: when neither the bundle nor the class has it.
    """
    value: Any = config
    for word in key.split("#"):
        if isinstance(value, list) and word.isdigit():
            value = value[int(word)]
        elif isinstance(value, dict) and word in value:
            value = value[word]
        elif isinstance(value, dict) and "_target_" in value:
            arguments = inspect.signature(locate(value["_target_"])).parameters  # type: ignore[arg-type]
            if word not in arguments:
                raise KeyError(f"{value['_target_']} has no argument `{word}` for the key `{key}`.")
            value = arguments[word].default
        else:
            raise KeyError(f"The bundle has no `{key}`.")
    return value


def in_words(config: dict[str, Any], key: str) -> str:
    """Return a default as a cell of a table: what is long stands in the bundle."""
    if not config:
        return "-"
    try:
        value = default_of(config, key)
    except KeyError:
        return "not here"
    text = value if isinstance(value, str) and not value.startswith("$") else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONG and "|" not in text else "see the bundle"


def configs_of(method: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the bundle's configurations for volumes and for images; an empty one where it has none."""
    volumes, images = (BUNDLES / method / "configs" / f"{name}.json" for name in ("pretrain", "pretrain_2d"))
    return json.loads(volumes.read_text()), json.loads(images.read_text()) if images.is_file() else {}


def hyperparameter_page() -> str:
    """Return the page with a table for each method."""
    lines = [
        "# From a paper's hyper-parameter to our key\n",
        "Set a key on the command line (`--network_def#temperature 0.2`) or in the bundle's JSON. Defaults are read "
        "from the bundles; `null` leaves the choice to the method, see its class.\n",
        "## All methods\n\n| paper | key |\n|---|---|",
        *(f"| {paper} | `{key}` |" for paper, key in ALL_METHODS),
    ]
    for method, rows in table().items():
        volumes, images = configs_of(method)
        lines += [f"\n## {method}\n", "| paper | key | default in 3-D | default in 2-D |\n|---|---|---|---|"]
        lines += [f"| {paper} | `{key}` | {in_words(volumes, key)} | {in_words(images, key)} |" for paper, key in rows]
        lines.append(f"\nWhere these differ from paper and code, and why: [{method}](methods/{method}.md).")
    return "\n".join(lines) + "\n"
