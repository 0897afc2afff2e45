"""Head of an uploaded store: a small file that names the manifest by its sha256, and is written last."""

from __future__ import annotations

import json
import re

from monai_ssl.store.layout import FORMAT
from monai_ssl.store.remote.storage import read

HEAD = "uploaded_store.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def head_text(manifest: str) -> bytes:
    """Return the content of the head of a store, by the sha256 of its manifest."""
    return json.dumps({"format": FORMAT, "manifest": manifest}, indent=1).encode()


def manifest_path(root: str, sha256: str) -> str:
    """Return the place of a manifest of an uploaded store."""
    return f"{root}/manifests/{sha256}.json"


def read_head(root: str) -> str | None:
    """Return the sha256 of the manifest of an uploaded store; ``None`` where there is no head.

    Raises:
        ValueError: when it cannot be read, is damaged, or of another version.
    """
    try:
        content = read(f"{root}/{HEAD}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"The store {root} {error}: check URL, network and credentials.") from error
    try:
        head = json.loads(content)
        version, manifest = head["format"], str(head["manifest"])
    except (ValueError, KeyError, TypeError, RecursionError):
        version, manifest = FORMAT, ""
    if version != FORMAT:
        raise ValueError(
            f"{root} has format {str(version)[:20]}, this version of monai_ssl reads {FORMAT}: upload the store again."
        )
    if not _SHA256.fullmatch(manifest):
        raise ValueError(f"{root}/{HEAD} is damaged, or was not written by `upload`: upload the store again.")
    return manifest


__all__ = ["HEAD", "head_text", "manifest_path", "read_head"]
