"""Anatomical visual words (TransVW): discovery, lists, windows."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from monai_ssl.words.discovery import Described, WordOptions, discover_words
from monai_ssl.words.word_list import LocatedWord, Word, WordList

if TYPE_CHECKING:
    from monai_ssl.words.visual_words import VisualWords

# these need torch and MONAI, which take seconds to import: too long for `prepare`, its workers and `inspect`
_IMPORTED_WHEN_USED = {
    "VisualWords": "visual_words",
}

__all__ = ["Described", "LocatedWord", "VisualWords", "Word", "WordList", "WordOptions", "discover_words"]


def __getattr__(name: str) -> Any:
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_IMPORTED_WHEN_USED[name]}"), name)
