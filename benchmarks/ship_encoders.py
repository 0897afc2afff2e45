"""Put the encoders of the evidence studies into the bundle of their method, as the model zoo ships weights.

    python -m monai_ssl study studies/evidence_3d.json      # first, evidence_3d_methods.json and evidence_xray.json
    python benchmarks/ship_encoders.py [--methods vicreg]

They are the very weights whose worth `docs/evidence.md` tells: their pre-training saw no test patient.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from monai_ssl.networks import build
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import PretrainingJob
from monai_ssl.transfer import export_weights, load_weights, read_card

ROOT = Path(__file__).resolve().parents[1]
OPENKBP = "MIT (OpenKBP, github.com/ababier/open-kbp)"


@dataclass(frozen=True)
class Shipped:
    """An encoder that comes with a bundle.

    Args:
        name: of its folder in ``models``.
        study: that made it.
        method: its bundle.
        seed: of its pre-training; ``None`` where all seeds share one.
        license: of its data.
    """

    name: str
    study: str
    method: str
    seed: int | None
    license: str


SHIPPED = (
    Shipped("headneck_ct", "evidence_3d", "simclr", None, OPENKBP),
    Shipped("headneck_ct", "evidence_3d", "moco", None, OPENKBP),
    Shipped("headneck_ct", "evidence_3d_methods", "vicreg", None, OPENKBP),
    Shipped("chest_xray", "evidence_xray", "simclr", 0, "CC BY 4.0 (Kermany et al., Cell 2018)"),
)


def ship(shipped: Shipped) -> Path:
    """Write an encoder with its card, and return its file.

    Raises:
        FileNotFoundError: when its study has not made it here.
    """
    source = trained(StudyFolder(ROOT / "studies_out" / shipped.study), shipped.method, shipped.seed)
    card = read_card(source)
    assert card is not None
    holder = nn.Module()
    holder.encoder = build(card.encoder)
    load_weights(holder, source)
    folder = ROOT / "bundles" / shipped.method / "models" / shipped.name
    folder.mkdir(parents=True, exist_ok=True)
    return export_weights(holder, folder / "encoder.safetensors", replace(card, data_license=shipped.license))


def trained(folder: StudyFolder, method: str, seed: int | None) -> Path:
    """Return the weights of the pre-training whose cells are the study's own now; ``seed`` as :class:`Shipped`."""
    used = {cell["pretraining"] for cell in folder.listed_cells().values()}
    for key in sorted(used - {None}):
        job = folder.read_job(key)
        own = isinstance(job, PretrainingJob) and (job.method, job.seed) == (method, seed)
        if own and folder.pretraining(key).is_done():
            return folder.pretraining(key).encoder
    raise FileNotFoundError(f"{folder.root.name} has no finished pre-training of {method}: run the study first.")


def measured(shipped: Shipped) -> dict[str, float]:
    """Return what the evidence tells of its method, by what was asked."""
    table: Mapping[str, Any] = json.loads((ROOT / "docs/evidence.json").read_text())[shipped.study]
    ((task, facts),) = table["tasks"].items()
    return {
        f"{shipped.name}, {row['labels']} labels, {row['scheme']}, {facts['metric']}": round(row["mean"], 3)
        for row in table["rows"]
        if row["method"] == shipped.method and row.get("task", task) == task
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = sorted({shipped.method for shipped in SHIPPED})
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    for method in parser.parse_args().methods:
        scores: dict[str, float] = {}
        for shipped in (s for s in SHIPPED if s.method == method):
            file = ship(shipped)
            scores |= measured(shipped)
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1e6:.1f} MB")
        path = ROOT / "bundles" / method / "configs/metadata.json"
        metadata = json.loads(path.read_text()) | {"eval_metrics": scores}
        path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
