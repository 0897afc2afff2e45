"""Patients of a study under pseudonyms; what leads back to names lies in a folder that only its owner can enter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monai_ssl.files import read_json, write_json
from monai_ssl.store.layout import PRIVATE, pseudonym, store_secret


class Pseudonyms:
    """Gives each patient a name that tells nothing, the same in all of a study.

    Args:
        root: folder of the study; the key, and who is who, lie in ``private`` below it.
    """

    def __init__(self, root: Path) -> None:
        self.private = root / PRIVATE
        self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        # also one that was copied
        self.private.chmod(0o700)
        self.secret = store_secret(root)
        self._who = self.private / "patients.json"
        self.names: dict[str, str] = read_json(self._who, {})

    def of(self, name: str) -> str:
        """Return the pseudonym of a patient."""
        hidden = pseudonym(self.secret, name)
        self.names[hidden] = name
        return hidden

    def sections(self, patients: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return the pseudonyms of the patients of each section, sorted."""
        return {section: sorted(map(self.of, of)) for section, of in patients.items()}

    def save(self) -> None:
        """Write who is who."""
        write_json(self._who, self.names, mode=0o600)
