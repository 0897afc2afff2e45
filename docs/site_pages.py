"""The pages of the site that are made rather than copied."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
from pydoc import locate

from make_figures import DISTURBANCES, TASKS, methods

import monai_ssl
import monai_ssl.transforms as transforms
from monai_ssl import api
from monai_ssl.bundle_folders import bundle_folder, config_file
from monai_ssl.cli.main import PROGRAM, command_parsers
from monai_ssl.methods.base import Method
from monai_ssl.zoo.resources import memory_lines

ROOMS = (
    "data",
    "transforms",
    "networks",
    "losses",
    "methods",
    "engines",
    "handlers",
    "transfer",
    "tasks",
    "evaluation",
    "study",
)
HIDDEN = {"study.worker"}
"""Modules that run when they are imported."""


def class_of(method: str) -> type[Method]:
    """Return the class that the bundle of a method trains; some bundles are a preset of another one's class."""
    config = json.loads(config_file(bundle_folder(method), "pretrain").read_text())
    kind = locate(config["network_def"]["_target_"])
    assert inspect.isclass(kind) and issubclass(kind, Method)
    return kind


def method_page(method: str, readme: str) -> str:
    """Return the README of a bundle with a picture of the method's views and the reference of its class."""
    memory = "\n".join(memory_lines(method))
    return f"""{readme}
## GPU memory of a step

Counted with the defaults (mixed precision), not measured. What it holds and how far off it is:
[all bundles](../resources.md).

{memory}

## What the network sees

`python -m monai_ssl preview` on two phantoms, with the sizes of the bundle or smaller:

![Two samples and the views made of each](../figures/methods/{method}.png)

## Class

```{{eval-rst}}
.. autoclass:: monai_ssl.methods.{class_of(method).__name__}
   :no-index:
   :no-members:
```
"""


def first_sentence(thing: object) -> str:
    """Return the first paragraph of a docstring as one line of Markdown."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split()).replace("``", "`")


def transforms_page() -> str:
    """Return the page that shows what each transform does."""
    lines = [
        "# Transforms in pictures\n",
        "Each is a MONAI dictionary transform for 2-D and 3-D. The phantom radiograph stands on the left, four draws "
        "beside it. Some are stronger here than by default. Arguments: [reference](api/transforms.rst).\n",
    ]
    for title, names in (("Crops and tasks", TASKS), ("Disturbances", DISTURBANCES)):
        lines.append(f"## {title}\n")
        for name in sorted(names):
            lines.append(f"### {name}\n\n{first_sentence(getattr(transforms, name))}\n")
            lines.append(f"![Four results of {name}](figures/transforms/{name}.png)\n")
    return "\n".join(lines)


def commands_page() -> str:
    """Return what each command says to ``--help``, from the parser itself."""
    lines = [
        "# Commands\n",
        f"`monai-ssl` is the same as `{PROGRAM}`. Each command ends with 0, with 1 when something\n",
    ]
    lines[-1] += "failed, with 2 when it was asked for in a way that cannot work.\n"
    for name, command in sorted(command_parsers().items()):
        command.formatter_class = _wide
        lines.append(f"## {name}\n\n```text\n{command.format_help()}```\n")
    return "\n".join(lines)


def _wide(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=84)


def python_page() -> str:
    """Return the reference of what people use: the functions and classes that ``import monai_ssl`` offers."""
    title = "From Python"
    calls = "\n".join(f".. autofunction:: monai_ssl.{name}\n" for name in sorted(api.__all__))
    return f"{title}\n{'=' * len(title)}\n\nAll of these are names of ``monai_ssl`` itself.\n\n{calls}"


def api_pages() -> dict[str, str]:
    """Return the reference by page: what people use, each room of the package, and an index."""
    pages = {"api/python.rst": python_page(), **{f"api/{room}.rst": api_page(room) for room in ROOMS}}
    entries = "\n".join(f"   {room}" for room in ("python", *ROOMS))
    return pages | {"api/index.rst": f"Reference\n=========\n\n.. toctree::\n\n{entries}\n"}


def api_page(room: str) -> str:
    """Return the reference of ``monai_ssl.<room>``."""
    package = importlib.import_module(f"monai_ssl.{room}")
    modules = [f"{room}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    parts = [f"{room}\n{'=' * len(room)}\n", first_sentence(package), ""]
    for module in sorted(set(modules) - HIDDEN):
        name = module.rpartition(".")[2]
        parts.append(f"{name}\n{'-' * len(name)}\n\n.. automodule:: {monai_ssl.__name__}.{module}\n")
    return "\n".join(parts)


__all__ = ["api_pages", "class_of", "commands_page", "method_page", "methods", "transforms_page"]
