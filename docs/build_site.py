"""Build the site from pages, READMEs, docstrings and figures: python docs/build_site.py OUT, then open OUT/html."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from make_figures import make_figures
from site_hyperparameters import hyperparameter_page
from site_links import copy_page
from site_pages import api_pages, commands_page, method_page, methods, transforms_page
from site_tutorials import write_tutorials

ROOT = Path(__file__).resolve().parents[1]
GUIDES = (
    "index",
    "installation",
    "troubleshooting",
    "data",
    "monai_networks",
    "public_weights",
    "many_gpus",
    "reliability",
    "architecture",
    "properties",
    "fidelity",
    "evidence",
    "small_presets",
    "resources",
)


def tasks() -> list[str]:
    """Return the names of the bundles that train on labels."""
    return sorted(path.parents[1].name for path in (ROOT / "bundles").glob("*/configs/train.json"))


def page_of() -> dict[Path, str]:
    """Return the page of the site for each Markdown file of the repository that becomes one."""
    pages = {ROOT / "docs" / f"{name}.md": f"{name}.md" for name in GUIDES}
    pages |= {ROOT / "bundles" / name / "docs/README.md": f"methods/{name}.md" for name in methods()}
    pages |= {ROOT / "bundles" / name / "docs/README.md": f"finetune/{name}.md" for name in tasks()}
    return pages | {ROOT / "bundles/README.md": "bundles.md", ROOT / "studies/README.md": "studies.md"}


def write_pages(out: Path) -> None:
    """Write all sources of the site but the figures into ``out``."""
    pages = page_of()
    tutorials = {path: f"tutorials/{path.stem}.md" for path in (ROOT / "tutorials").glob("[0-9]*.py")}
    for source, page in pages.items():
        copy_page(source, out / page, pages | tutorials)
    for name in methods():
        path = out / "methods" / f"{name}.md"
        path.write_text(method_page(name, path.read_text()))
    shutil.copytree(ROOT / "docs/pictures", out / "pictures", dirs_exist_ok=True)
    index = out / "index.md"
    index.write_text(index.read_text() + contents())
    written = {
        "commands.md": commands_page(),
        "transforms.md": transforms_page(),
        "hyperparameters.md": hyperparameter_page(),
    }
    for page, text in (written | api_pages()).items():
        (out / page).parent.mkdir(parents=True, exist_ok=True)
        (out / page).write_text(text)


def contents() -> str:
    """Return the hidden table of contents of the site."""
    methods_pages = [f"methods/{name}" for name in methods()]
    parts = {
        "Guides": ["tutorials/index", *GUIDES[1:]],
        "Methods": ["bundles", "hyperparameters", *methods_pages],
        "Fine-tuning": [*(f"finetune/{name}" for name in tasks()), "studies"],
        "Reference": ["commands", "api/python", "transforms", "api/index"],
    }
    trees = (
        f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(p) + "\n```\n" for title, p in parts.items()
    )
    return "".join(trees)


def build(out: Path) -> None:
    """Write ``out/pages`` and, from them, ``out/html``; any warning of Sphinx is an error."""
    pages = out / "pages"
    write_pages(pages)
    write_tutorials(pages)
    make_figures(pages / "figures")
    docs = str(ROOT / "docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", docs, str(pages), str(out / "html")]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder that gets `pages` and `html`")
    build(parser.parse_args().out.resolve())
