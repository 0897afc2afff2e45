"""Write feature vectors as csv, npy or parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from monai_ssl.analysis.embed import FeatureTable
from monai_ssl.files import atomic

ENDINGS = (".csv", ".npy", ".parquet")


def check_ending(path: Path) -> None:
    """Raise ``ValueError`` unless features can be written in the format that the name ends in."""
    if path.suffix not in ENDINGS:
        raise ValueError(f"`--out {path}` must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")


def as_frame(table: FeatureTable) -> pd.DataFrame:
    """Return a row for each vector: what it is of, and its entries ``f0``, ``f1``, ..."""
    columns = [f"f{number}" for number in range(table.features.shape[1])]
    return pd.concat([pd.DataFrame(table.rows), pd.DataFrame(table.features, columns=columns)], axis=1)


def write_features(table: FeatureTable, path: Path) -> list[Path]:
    """Write a table; return the files.

    ``.csv`` and ``.parquet`` have a row for each vector, with its entries as columns ``f0``, ``f1``, ...; ``.npy`` is
    the array (N, D) of float32, and ``<name>.rows.csv`` beside it says what each row is.

    Raises:
        ValueError: for another ending.
    """
    check_ending(path)
    if path.suffix == ".npy":
        beside = path.with_name(f"{path.stem}.rows.csv")
        with atomic(path) as file:
            np.lib.format.write_array(file, table.features, allow_pickle=False)
        _write(beside, pd.DataFrame(table.rows).to_csv(index=False).encode())
        return [path, beside]
    whole = as_frame(table)
    _write(path, whole.to_csv(index=False).encode() if path.suffix == ".csv" else whole.to_parquet(index=False))
    return [path]


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


__all__ = ["ENDINGS", "as_frame", "check_ending", "write_features"]
