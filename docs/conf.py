"""Settings of Sphinx; the pages come from ``docs/build_site.py``."""

import re

from sphinx.application import Sphinx

from monai_ssl import __version__ as release

project = "monai_ssl"
author = "The monai_ssl developers"
version = release
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure", "myst.header"]
napoleon_custom_sections = ["Batch"]
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_mock_imports = ["dask"]
html_theme = "furo"
html_title = f"monai_ssl {release}"

_STAR = re.compile(r"(``.*?``)|(?<![\\*`\w])\*(?=[a-z])")


def setup(app: Sphinx) -> None:
    """Keep the shapes of docstrings, as (B, C, *spatial), from being read as emphasis."""
    app.connect("autodoc-process-docstring", escape_shapes)


def escape_shapes(*event: object) -> None:
    """Escape stars before words in the lines of a docstring, the last argument of the event, in place."""
    lines = event[-1]
    assert isinstance(lines, list)
    lines[:] = [_STAR.sub(lambda match: match[1] or r"\*", line) for line in lines]
