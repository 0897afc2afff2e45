"""Sessions of a store: pseudonyms of visits and of frames of coordinates, by the hints of sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monai_ssl.io.discovery import Source
from monai_ssl.io.session_hints import Session
from monai_ssl.store.layout import source_key


def sessions_of(
    records: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, Sequence[Source]],
    pseudonym: Callable[[str], str],
) -> dict[str, dict[str, str]]:
    """Return ``session`` and ``frame`` of records, by key, as far as they are known.

    Volumes of one file share both in any case. Of sources with the same bytes the first by name counts.

    Args:
        records: of the store, by key.
        sources: of this run, by the key of the scan or of its first part.
        pseudonym: of a name.
    """
    hints = {source_key(key): min(found, key=lambda source: source.name).session for key, found in sources.items()}
    named = {}
    for key, record in records.items():
        source = source_key(key)
        if source not in hints:
            continue
        session = hints[source]
        if not any(session) and record["parts"] > 1:
            session = Session(source, source)
        names = {"session": session.visit, "frame": session.frame}
        named[key] = {what: pseudonym(f"{what} {name}") for what, name in names.items() if name}
    return named


__all__ = ["sessions_of"]
