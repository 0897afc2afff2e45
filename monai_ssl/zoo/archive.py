"""Pack a bundle as MONAI downloads it: a zip with one folder, named as the bundle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from monai_ssl.files import atomic
from monai_ssl.zoo.folders import bundle_folder

_PARTS = ("LICENSE", "configs", "docs", "models", "large_files.yml")
_NEEDED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "docs/README.md")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(bundle: str | Path, folder: str | Path) -> Path:
    """Write ``<name>_v<version>.zip``, which ``python -m monai.bundle download --url`` installs.

    The same files give the same bytes, so that a published hash can be checked against the source. Results of runs
    (``eval``) and hidden files stay out; weights in ``models`` go in.

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
        for member in _members(source):
            name = f"{source.name}/{member.relative_to(source).as_posix()}"
            archive.writestr(_entry(name), member.read_bytes())
    return path


def _checked_version(source: Path) -> str:
    if missing := [name for name in _NEEDED if not (source / name).is_file()]:
        raise ValueError(f"The bundle {source} cannot be packed without {', '.join(missing)}.")
    metadata = json.loads((source / "configs/metadata.json").read_text())
    version = str(metadata.get("version"))
    if version not in metadata.get("changelog", {}):
        raise ValueError(f"`configs/metadata.json` of {source} has version {version}, but no `changelog` entry for it.")
    return version


def _members(source: Path) -> Iterator[Path]:
    for part in _PARTS:
        path = source / part
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for member in found:
            names = member.relative_to(source).parts
            if not member.is_file() or any(name.startswith((".", "__pycache__")) for name in names):
                continue
            if not member.resolve().is_relative_to(source.resolve()):
                raise ValueError(f"{member} is a link that leads out of the bundle {source}; copy the file there.")
            yield member


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    # readable for all once unpacked, whatever the umask of who packed it
    entry.external_attr = 0o644 << 16
    return entry
