"""Settings of Sphinx; the pages come from ``docs/build_site.py``."""

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
