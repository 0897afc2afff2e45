"""CKA between two runs: which stages of the encoder see images alike, and which were learned anew."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai_ssl.analysis.features import UNTRAINED, batches, networks
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.pictures import curves, matrix
from monai_ssl.analysis.section import Picture, Section, Table, rounded
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation import encoder_cka
from monai_ssl.networks import Encoder


def cka_section(run: TrainedRun, other: TrainedRun, shown: ImageSet) -> Section:
    """Compare the maps of a run with those of another one, and with those of the run before its training.

    Args:
        run: rows of the matrix.
        other: columns; its encoder may be of another kind.
        shown: images that both see.
    """
    across = encoder_cka(run.encoder, other.encoder, batches(shown))
    before = encoder_cka(run.encoder, networks(run, shown)[UNTRAINED], batches(shown))
    rows, columns = _stages(run.encoder), _stages(other.encoder)
    same = [line[i] if i < len(line) else math.nan for i, line in enumerate(across)]
    untrained = [line[i] for i, line in enumerate(before)]
    said = (
        shown.described(),
        "Linear CKA without bias of maps averaged over positions: 1 where two stages see images alike up to a rotation "
        "and a scale, about 0 where they have nothing in common. A stage of a fine-tuned network near 1 was reused as "
        "it was. The similarity with the untrained network says how much of an agreement the architecture gives away.",
    )
    stages = Table(
        ("Stage", "With the other run", "With the untrained network"),
        [(s, rounded(a), rounded(b)) for s, a, b in zip(rows, same, untrained, strict=True)],
    )
    pictures = (
        Picture(matrix(across, rows, columns, "CKA"), "Rows: stages of this run. Columns: stages of the other run."),
        Picture(
            curves({"CKA, stage by stage": _lines({"other run": same, "untrained": untrained})}, "stage"),
            "Equal stages compared.",
        ),
    )
    numbers = {"matrix": across, "stage_by_stage": same, "untrained": untrained, "images": len(shown)}
    return Section("cka", "Similarity to another run (CKA)", said, numbers, stages, pictures)


def _stages(encoder: Encoder) -> list[str]:
    return [f"{i}: 1/{stride}" for i, stride in enumerate(encoder.strides, start=1)]


def _lines(values: dict[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
    return {name: [(float(i), v) for i, v in enumerate(line, start=1)] for name, line in values.items()}
