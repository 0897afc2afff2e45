"""Places of data: paths of this machine, its cache, and URLs of object storage, which hold no credentials."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from monai_ssl.errors import printable

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_AS_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""What a path makes of a URL; drives of Windows have one letter."""
_NAMED_BEFORE_HOST = ("abfs", "abfss", "az", "sftp", "ssh")
"""Schemes whose URLs name a container or a user before an ``@``, which is no secret."""


def is_url(place: str | Path) -> bool:
    """Tell a URL, such as ``s3://bucket/prefix``, from a path.

    >>> is_url("s3://bucket/ct"), is_url("store"), is_url(Path("store"))
    (True, False, False)
    """
    return isinstance(place, str) and _URL.match(place) is not None


def place_of(text: str | Path) -> str | Path:
    """Return a URL without the slash at its end, and anything else as a path.

    Raises:
        ValueError: for a URL with a password, token or query, which would get into logs.

    >>> place_of("s3://bucket/ct/"), place_of("store/")
    ('s3://bucket/ct', PosixPath('store'))
    >>> place_of("https://me:secret@host/ct")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: The URL `https://host/ct` came with a password, token, query or fragment: give it without; ...
    """
    if isinstance(text, Path) or not is_url(text):
        return Path(text)
    parts = urlsplit(text)
    before, at, host = parts.netloc.rpartition("@")
    secret = at and (":" in before or parts.scheme not in _NAMED_BEFORE_HOST)
    if secret or parts.query or parts.fragment:
        raise ValueError(
            f"The URL `{parts.scheme}://{host}{parts.path}` came with a password, token, query or fragment: give it "
            "without; credentials are taken from the environment, as the library of the storage reads them "
            "(`AWS_ACCESS_KEY_ID`, `FSSPEC_S3_KEY`, ...)."
        )
    return text.rstrip("/")


def on_disk(place: str | Path, name: str) -> Path:
    """Return the path of something to be written.

    Args:
        place: folder or file.
        name: of the option, for the message.

    Raises:
        ValueError: for a URL, of which a path would make a folder called ``s3:`` where one happens to be.

    >>> on_disk("runs/simclr", "output_dir")
    PosixPath('runs/simclr')
    >>> on_disk("s3://bucket/run", "output_dir")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: `output_dir` is written to a disk, and s3://bucket/run is a URL: give a folder, ...
    """
    return _no_url(
        place,
        f"`{name}` is written to a disk",
        "Only stores are kept at URLs: `python -m monai_ssl upload STORE URL`, then `--dataset_dir URL` of a "
        "pre-training.",
    )


def folder_of_images(dataset_dir: str | Path) -> Path:
    """Return the folder of labeled images, or of those that a fine-tuned model predicts, which lies on a disk.

    Raises:
        ValueError: for a URL.

    >>> folder_of_images("labeled")
    PosixPath('labeled')
    >>> folder_of_images("s3://bucket/labeled")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: `dataset_dir` is read from a disk, and s3://bucket/labeled is a URL: give a folder, ...
    """
    return _no_url(dataset_dir, "`dataset_dir` is read from a disk", "Only pre-training reads stores from URLs.")


def _no_url(place: str | Path, rule: str, exception: str) -> Path:
    if _AS_PATH.match(str(place)):
        raise ValueError(
            f"{rule}, and {printable(str(place))} is a URL: give a folder, such as one that the bucket is mounted at. "
            f"{exception}"
        )
    return Path(place)


def cache_root() -> Path:
    """Return the folder of all that is fetched: ``$MONAI_SSL_CACHE`` if set, else ``~/.cache/monai_ssl``.

    Raises:
        ValueError: when the variable names a URL.
    """
    root = os.environ.get("MONAI_SSL_CACHE")
    return on_disk(root, "MONAI_SSL_CACHE").absolute() if root else Path.home() / ".cache" / "monai_ssl"


__all__ = ["cache_root", "folder_of_images", "is_url", "on_disk", "place_of"]
