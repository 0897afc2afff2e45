"""Object storage and other remote places by fsspec, with errors for people; options come from the environment."""

from __future__ import annotations

import time
from typing import Any

from monai_ssl.extras import libraries

_TRIES = 3
_WAIT = 0.5
"""Seconds before the second try of a read, and four times as much before the third."""


def file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL or path, and the place in it.

    It is asked for again at each use, and never kept: those of object storage do not live through a fork.

    Raises:
        ValueError: when there is no library for such a URL.
    """
    try:
        import fsspec
    except ImportError as error:
        raise ValueError(f"Uploaded stores need fsspec: `pip install {' '.join(libraries('cloud'))}`.") from error
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(f"cannot be opened as {url} ({error})") from error


def read(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """Return the content of a file, or of a range of its bytes; tried again where the network fails.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read.
    """
    for number in range(_TRIES):
        storage, path = file_system(url)
        try:
            content: bytes = storage.cat_file(path, start=start, end=end)
            return content
        except FileNotFoundError:
            raise
        # each library has errors of its own
        except Exception as error:
            if number + 1 == _TRIES or isinstance(error, PermissionError):
                raise ValueError(f"cannot be read from {url} ({_reason(error)})") from error
            time.sleep(_WAIT * 4**number)
    raise AssertionError


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


__all__ = ["file_system", "read"]
