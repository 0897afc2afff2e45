"""The tutorials as pages: text, code, and what the code prints and draws, executed when the site is built."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import jupytext
import nbclient

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
NOT_EXECUTED = {"5_compare_honestly": "its study trains networks in processes of their own for minutes"}
"""Why the site shows a tutorial without its outputs; the others take 5 to 35 seconds of a core each."""
MOST_LINES = 40
"""Of one output: what is longer loses its middle."""
TIME_LIMIT = 300
_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ - ")


def tutorials() -> list[Path]:
    """Return the scripts in the order of their names."""
    return sorted(TUTORIALS.glob("[0-9]*.py"))


def write_tutorials(out: Path) -> None:
    """Execute the quick ones, two at a time, and write the pages and pictures of all into ``out/tutorials``."""
    folder = out / "tutorials"
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        for script, text in zip(tutorials(), pool.map(lambda s: tutorial_page(s, folder), tutorials()), strict=True):
            (folder / f"{script.stem}.md").write_text(text)
    entries = "\n".join(script.stem for script in tutorials())
    intro = "Each is a script in `tutorials/`; `make tutorials` executes all and writes them as notebooks.\n"
    (folder / "index.md").write_text(f"# Tutorials\n\n{intro}\n```{{toctree}}\n{entries}\n```\n")


def tutorial_page(script: Path, folder: Path) -> str:
    """Return a tutorial as Markdown; its pictures go into ``folder``."""
    notebook = jupytext.read(script)
    why = NOT_EXECUTED.get(script.stem)
    if why is None:
        execute(notebook)
    cells = [cell_text(cell, f"{script.stem}_{number}", folder) for number, cell in enumerate(notebook.cells)]
    if why is not None:
        cells.insert(1, f"*Shown without its outputs, since {why}: `make tutorials` executes it.*")
    return "\n\n".join(cells) + "\n"


def execute(notebook: Any) -> None:
    """Run all cells in a folder of their own, whose name is cut out of what they print.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = str(Path(folder).resolve())
        client = nbclient.NotebookClient(
            notebook, timeout=TIME_LIMIT, kernel_name="python3", resources={"metadata": {"path": work}}
        )
        # a kernel shows no picture where a backend is set, as on a server without a screen
        client.execute(env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"})
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                for holder, key in ((output, "text"), (output.get("data", {}), "text/plain")):
                    if key in holder:
                        holder[key] = holder[key].replace(f"{work}/", "").replace(work, ".")


def cell_text(cell: Any, name: str, folder: Path) -> str:
    """Return a cell as Markdown, with its outputs; pictures are written as ``folder/NAME_0.png``, ``NAME_1.png``."""
    if cell.cell_type == "markdown":
        return str(cell.source)
    return "\n\n".join([f"```python\n{cell.source}\n```", *_outputs(cell, name, folder)])


def _outputs(cell: Any, name: str, folder: Path) -> Iterator[str]:
    outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    pictures = 0
    # what is printed in one go arrives in many parts
    for printed, group in groupby(outputs, key=lambda output: output.output_type == "stream"):
        if printed:
            yield from _text("".join(output.text for output in group))
            continue
        for data in (output.data for output in group):
            if "image/png" in data:
                file = folder / f"{name}_{pictures}.png"
                file.write_bytes(base64.b64decode(data["image/png"]))
                pictures += 1
                yield f"![what the cell above draws]({file.name})"
            else:
                yield from _text(data.get("text/plain", ""))


def _text(text: str) -> Iterator[str]:
    if kept := shortened(text):
        yield f"```text\n{kept}\n```"


def shortened(text: str) -> str:
    """Return an output without what progress bars overwrite and lines of a log, and without its middle where long.

    >>> shortened("10 %\\r100 %\\n2026-01-31 10:00:00,000 - INFO - Engine run\\nwritten\\n")
    '100 %\\nwritten'
    """
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.rstrip().split("\n")]
    lines = [line for line in lines if not _LOGGED.match(line)]
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES
        lines[MOST_LINES // 2 : -MOST_LINES // 2] = [f"... {left_out} lines more ..."]
    return "\n".join(lines)


__all__ = ["NOT_EXECUTED", "shortened", "tutorial_page", "write_tutorials"]
