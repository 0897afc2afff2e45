"""Texts in a MONAI configuration: what begins an expression, and texts that must not be read as one."""

from __future__ import annotations

from typing import Any

EXPRESSION_SIGNS = ("@", "$", "%")


def literal(value: Any) -> Any:
    """Return what MONAI resolves to ``value``: it reads ``#`` in a text as the sign before a part of a key.

    >>> from monai.bundle import ConfigParser
    >>> ConfigParser({"a": literal("runs/no #1")}).get_parsed_content("a")
    'runs/no #1'
    """
    if not isinstance(value, str) or "#" not in value or value.startswith(EXPRESSION_SIGNS):
        return value
    return f"${value!r}".replace("#", "\\x23").replace("@", "\\x40")


__all__ = ["EXPRESSION_SIGNS", "literal"]
