"""Pack a bundle as MONAI downloads it: a zip with one folder, named as the bundle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.files import atomic
from monai_ssl.zoo.contents import bundle_contents

_NEEDED = ("configs/metadata.json", "configs/inference.json", "docs/README.md")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(bundle: str | Path, folder: str | Path) -> Path:
    """Write ``<name>_v<version>.zip``, which ``python -m monai.bundle download --url`` installs.

    A folder in ``bundles`` holds only what differs: license, logging and the rest of the metadata are added. The same
    files and packages give the same bytes, so that a published hash can be checked against the source.

    Args:
        bundle: name of a bundle of this package, or the folder of one.
        folder: gets the zip; made if it is not there.

    Returns:
        The path of the zip.

    Raises:
        ValueError: when there is no such bundle, it lacks a file that the model zoo asks for, its changelog does not
            tell of its version, or a link in it leads elsewhere.
    """
    source = bundle_folder(bundle)
    version = _checked_version(source)
    path = Path(folder) / f"{source.name}_v{version}.zip"
    with atomic(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in bundle_contents(source).items():
            archive.writestr(_entry(f"{source.name}/{name}"), content)
    return path


def _checked_version(source: Path) -> str:
    if missing := [name for name in _NEEDED if not (source / name).is_file()]:
        raise ValueError(f"The bundle {source} cannot be packed without {', '.join(missing)}.")
    metadata = json.loads((source / "configs/metadata.json").read_text())
    version = str(metadata.get("version"))
    if version not in metadata.get("changelog", {}):
        raise ValueError(f"`configs/metadata.json` of {source} has version {version}, but no `changelog` entry for it.")
    return version


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    # readable for all once unpacked, whatever the umask of who packed it
    entry.external_attr = 0o644 << 16
    return entry
