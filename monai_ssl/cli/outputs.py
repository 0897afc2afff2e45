"""Paths that commands write to, as argparse takes them."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_ssl.places import on_disk


def output(word: str) -> Path:
    """Return the path that a word names; a URL is refused with what to do."""
    try:
        return on_disk(word, "OUT")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


__all__ = ["output"]
