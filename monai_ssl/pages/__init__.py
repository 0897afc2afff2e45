"""HTML pages from Jinja2 templates: self-contained, responsive, light and dark."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, **values: Any) -> str:
    """Return a page; all texts that are put into it are escaped.

    Args:
        package: whose folder ``templates`` has the template. It may extend ``base.html`` and import from
            ``parts.html``, which stand beside this module.
        template: name of the file.
        values: by the name that the template uses; one that is missing is an error.

    Raises:
        jinja2.UndefinedError: when the template asks for a value that was not given.

    >>> "<h1>a &lt;b&gt;</h1>" in render("monai_ssl.pages", "base.html", title="a <b>")
    True
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__name__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


__all__ = ["render"]
