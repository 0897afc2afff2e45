"""Settings of Sphinx; the pages come from ``docs/build_site.py``."""

import re

from sphinx.application import Sphinx

from monai_ssl import __version__ as release

project = "monai_ssl"
author = "The monai_ssl developers"
version = release
# the second to last brings its own MathJax: the site shows formulas without a network
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "ref.python"]
napoleon_custom_sections = ["Batch"]
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_mock_imports = ["dask"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_title = f"monai_ssl {release}"

_MARKUP = re.compile(r"(:math:`.*?`|``.*?``)|(?<![\\*`\w])(\*(?=[a-z(/])|\|(?=\w))")


def setup(app: Sphinx) -> None:
    """Keep shapes as (B, C, *spatial) and values as |x| in docstrings from being read as markup."""
    app.connect("autodoc-process-docstring", escape_formulas)


def escape_formulas(*event: object) -> None:
    """Escape stars and bars before words in the lines of a docstring, the last argument of the event, in place."""
    lines = event[-1]
    assert isinstance(lines, list)
    lines[:] = [_MARKUP.sub(lambda match: match[1] or "\\" + match[2], line) for line in lines]
