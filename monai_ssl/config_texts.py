"""Texts in a MONAI configuration: what begins an expression, and texts that must not be read as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EXPRESSION_SIGNS = ("@", "$", "%")


def literal(value: Any) -> Any:
    """Return what MONAI resolves to ``value``: it reads ``#`` in a text as the sign before a part of a key.

    A text that begins an expression stays one, unless a file or folder has that name.

    >>> from monai.bundle import ConfigParser
    >>> ConfigParser({"a": literal("runs/no #1")}).get_parsed_content("a")
    'runs/no #1'
    """
    if not isinstance(value, str):
        return value
    value = as_path(value)
    if "#" not in value or value.startswith(EXPRESSION_SIGNS):
        return value
    return f"${value!r}".replace("#", "\\x23").replace("@", "\\x40")


def path_text(path: str | Path) -> str:
    """Return a path as a text that begins no expression.

    >>> path_text("%x"), path_text("runs/a")
    ('./%x', 'runs/a')
    """
    return f"./{path}" if str(path).startswith(EXPRESSION_SIGNS) else str(path)


def as_path(text: str) -> str:
    """Return a text that begins an expression as :func:`path_text` when something of that name is there."""
    return path_text(text) if text.startswith(EXPRESSION_SIGNS) and _exists(text) else text


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    # too long, or with a zero: no path
    except (OSError, ValueError):
        return False


__all__ = ["EXPRESSION_SIGNS", "as_path", "literal", "path_text"]
