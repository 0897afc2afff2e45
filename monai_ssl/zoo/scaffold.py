"""Scaffold of a new method: its file, bundle and test, and the row of the docs, from templates."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.files import atomic

_PATTERN = "models_genesis"
"""The bundle whose crops and views a new one begins with."""
_TABLE = "## Pre-training"


def new_method(name: str, root: str | Path = ".", package: str | None = None) -> list[Path]:
    """Write what a method consists of: the file of its objective, a bundle, a test, and a row in the docs.

    What is written trains as it is, by restoring distorted windows; the paper's objective, views and text take their
    places step by step.

    Args:
        name: of the file and the bundle, e.g. ``context_restoration``.
        root: of a checkout of this package, or of a project of your own.
        package: where the file goes, ``monai_ssl.methods`` in a checkout and ``methods`` elsewhere by default.

    Returns:
        The files that were written or, in the case of the docs, extended.

    Raises:
        ValueError: when the name is no module's name, or a file of it exists.

    >>> import tempfile
    >>> [path.name for path in new_method("context_restoration", tempfile.mkdtemp())][:2]
    ['context_restoration.py', 'pretrain.json']
    """
    root = Path(root)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"`name` becomes a module and a folder: lower-case letters, digits and `_`, not {name!r}.")
    if package is None:
        package = "monai_ssl.methods" if (root / "monai_ssl/methods").is_dir() else "methods"
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", package):
        raise ValueError(f"`package` is a dotted name such as mylab.methods, not {package!r}.")
    files = {root / path: text for path, text in _contents(name, package).items()}
    if there := [str(path) for path in files if path.exists()]:
        raise ValueError(f"{', '.join(there)} exists already; choose another name.")
    for path, text in files.items():
        with atomic(path) as file:
            file.write(text.encode())
    return [*files, *_add_row(root / "bundles/README.md", name)]


def class_name(name: str) -> str:
    """Return the name of the class in a method's file.

    >>> class_name("context_restoration")
    'ContextRestoration'
    """
    return "".join(word.capitalize() for word in name.split("_"))


def _contents(name: str, package: str) -> Mapping[str, str]:
    """Text by path."""
    pattern, title, bundle = bundle_folder(_PATTERN) / "configs", class_name(name), f"bundles/{name}"
    environment = Environment(
        loader=PackageLoader("monai_ssl.zoo", "new_method"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Python, JSON and Markdown, made of names that were checked
    )
    versions = {package: version(package).partition("+")[0] for package in ("monai", "torch", "numpy")}
    facts = {"name": name, "title": title, "package": package, "bundle": bundle, "versions": versions}
    pretrain = (pattern / "pretrain.json").read_text()
    pretrain = pretrain.replace("monai_ssl.methods.ModelsGenesis", f"{package}.{name}.{title}")
    return {
        f"{package.replace('.', '/')}/{name}.py": environment.get_template("method.py.jinja").render(facts),
        f"{bundle}/configs/pretrain.json": pretrain.replace(f'"name": "{_PATTERN}"', f'"name": "{name}"'),
        f"{bundle}/configs/inference.json": (pattern / "inference.json")
        .read_text()
        .replace('"output": "restoration"', '"output": "features"'),
        f"{bundle}/configs/metadata.json": environment.get_template("metadata.json.jinja").render(facts),
        f"{bundle}/docs/README.md": environment.get_template("README.md.jinja").render(facts),
        f"tests/methods/test_{name}.py": environment.get_template("test.py.jinja").render(facts),
    }


def _add_row(page: Path, name: str) -> Iterator[Path]:
    """Add the method to the table of all bundles, in the order of names; nothing where there is no such table."""
    if not page.is_file():
        return
    lines = page.read_text().splitlines(keepends=True)
    paper = "Authors, [Title](https://arxiv.org/abs/...), venue"
    row = f"| [{name}]({name}/docs/README.md) | {paper} | `pretrain` | `view`, `target` | none yet |\n"
    start = next(i for i, line in enumerate(lines) if line.startswith(_TABLE))
    rows = [i for i, line in enumerate(lines) if i > start and line.startswith("| [")]
    end = next(i for i in range(rows[0], len(lines)) if not lines[i].startswith("|"))
    place = next((i for i in range(rows[0], end) if lines[i] > row), end)
    with atomic(page) as file:
        file.write("".join([*lines[:place], row, *lines[place:]]).encode())
    yield page
