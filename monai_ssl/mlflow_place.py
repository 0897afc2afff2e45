"""MLflow tracking URI: the environment's, the user's, or the local database of the working directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monai_ssl.errors import printable
from monai_ssl.files import atomic

RECORD, NOTE = "mlruns.db", "mlflow_run.txt"
"""The local database, and the file in the folder of a run that names the run and that database."""
URI_VARIABLE = "MLFLOW_TRACKING_URI"


def record_uri(output_dir: Path, uri: str | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """Return where runs are recorded: where the environment says, else ``uri``, else in :func:`local_record`."""
    return environment.get(URI_VARIABLE) or uri or f"sqlite:///{local_record(output_dir)}"


def local_record(output_dir: Path) -> Path:
    """Return the database of a run: the one where it was recorded before, else that of the working directory.

    So pre-trainings, fine-tunings and evaluations that are started in one place lie on one page of MLflow.
    """
    _, noted = read_note(output_dir)
    own, shared = output_dir.resolve() / RECORD, Path.cwd() / RECORD
    if noted is not None and noted.is_file():
        return noted
    return own if own.is_file() or not os.access(Path.cwd(), os.W_OK) else shared


def write_note(output_dir: Path, run_name: str, uri: str) -> None:
    """Leave in the folder of a run how it is called in MLflow, and in which local database, if it is one."""
    file = sqlite_file(uri)
    place = [] if file is None else [os.path.relpath(file, output_dir.resolve())]
    with atomic(output_dir / NOTE) as note:
        note.write("".join(f"{line}\n" for line in [run_name, *place]).encode())


def read_note(output_dir: Path) -> tuple[str | None, Path | None]:
    """Return the name of the run that a folder holds and its local database; ``None`` for what is not known."""
    note = output_dir / NOTE
    lines = note.read_text().splitlines() if note.is_file() else []
    return (lines[0] if lines else None), ((output_dir.resolve() / lines[1]).resolve() if len(lines) > 1 else None)


def checked_uri(uri: str) -> str:
    """Return ``uri`` when MLflow can keep a run there.

    Raises:
        ValueError: when it is neither sqlite nor http(s).
    """
    if uri.startswith(("sqlite:///", "http://", "https://")):
        return uri
    raise ValueError(
        f"MLflow cannot keep runs in {printable(uri)!r}: folders and `file:` addresses are no longer supported. "
        "Give a database such as `sqlite:////data/mlruns.db` or a server such as `http://localhost:5000`, as `uri` "
        "or in the environment variable MLFLOW_TRACKING_URI."
    )


def sqlite_file(uri: str) -> Path | None:
    """Return the absolute path of the database file of a sqlite address, ``None`` for a server."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


__all__ = ["NOTE", "RECORD", "checked_uri", "local_record", "read_note", "record_uri", "sqlite_file", "write_note"]
