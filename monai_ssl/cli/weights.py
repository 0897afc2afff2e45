"""Weights that commands start from, as argparse takes them: a file, a run, or an encoder that comes along."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_ssl.bundle_folders import weights_place


def weights(word: str) -> Path:
    """Return the place that a word names; what is not there is refused with what is."""
    try:
        return weights_place(word)
    except FileNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


__all__ = ["weights"]
