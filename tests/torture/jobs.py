"""What is tortured: four jobs that write for long, each small and with a result that can be compared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS / "helpers")]

import fake_study  # noqa: E402
import matplotlib.backends.backend_agg  # noqa: E402, F401
import torch  # noqa: E402
from downstream_runs import ROOT, workflow, write_pictures  # noqa: E402
from ignite.engine import Events  # noqa: E402
from method_cases import BUNDLES, parsed, small  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from monai_ssl.samples.phantom import phantom_xray, write_phantom_cohort  # noqa: E402
from monai_ssl.store.prepare import PrepareOptions, prepare  # noqa: E402

BUNDLE = BUNDLES / "rotation" / "configs" / "pretrain_2d.json"
EPOCHS, INTERVAL = 4, 4
"""Of the pre-training; a checkpoint is written after every epoch, of so many iterations."""
_SECRET = "00" * 32


def write_inputs(root: Path) -> None:
    """A tree of scans and a store of radiographs."""
    from PIL import Image

    write_phantom_cohort(root / "scans", patients=4, shape=(32, 32, 24))
    for seed in range(6):
        folder = root / "xray" / f"patient{seed}"
        folder.mkdir(parents=True)
        Image.fromarray(phantom_xray(seed, (80, 80))[0].T).save(folder / "image.png")
    prepare(root / "xray", root / "store", PrepareOptions(workers=0))
    pictures = sorted(write_pictures(root / "pictures").glob("*/*.png"))
    # a list, so that a picture that is gone is missed
    rows = [f"{path.relative_to(root / 'pictures')},{path.parent.name}" for path in pictures]
    (root / "pictures/datalist.csv").write_text("\n".join(["image,label", *rows]))
    # an empty database: making its tables takes longer than all the training here
    MlflowClient(f"sqlite:///{root / 'mlruns.db'}").search_experiments()


class Prepare:
    """``prepare`` of a tree of NIfTI files."""

    name = "prepare"

    def set_up(self, inputs: Path, place: Path) -> None:
        shutil.copytree(inputs / "scans", place / "source")
        # pseudonyms depend on a secret that is drawn once; here all runs share it
        (place / "out" / "private").mkdir(parents=True, mode=0o700)
        (place / "out" / "private" / "secret").write_text(_SECRET)

    def run(self, place: Path, workers: int) -> None:
        report = prepare(place / "source", place / "out", PrepareOptions(workers=workers))
        for name, reason in report.failed:
            print(f"{name}: {reason}", file=sys.stderr)
        if report.failed:
            raise SystemExit(1)

    def result(self, place: Path) -> Any:
        manifest = json.loads((place / "out" / "manifest.json").read_text())
        arrays = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (place / "out" / "scans").rglob("*.npy")}
        return manifest, arrays

    def data(self, place: Path) -> list[Path]:
        return sorted((place / "source").rglob("*.nii.gz"))

    def lost(self, place: Path) -> str | None:
        """Scans are lost only while they are under way, which :func:`torture.broken_files` sees."""
        return None


class Pretrain:
    """``pretrain`` of a bundle, with all its handlers, validation patients and a best model."""

    name = "pretrain"

    def set_up(self, inputs: Path, place: Path) -> None:
        shutil.copytree(inputs / "store", place / "source")
        (place / "out").mkdir(parents=True)
        shutil.copy(inputs / "mlruns.db", place / "out")

    def run(self, place: Path, workers: int) -> None:
        options = {"max_epochs": EPOCHS, "windows_per_scan": 2, "validation": 0.34, "num_workers": workers}
        overrides = small(BUNDLE, place / "source", place / "out", resume=True, **options)
        parser: ConfigParser = parsed(BUNDLE, overrides | {"roi_size": [32, 32]})
        parser.get_parsed_content("initialize")
        trainer = parser.get_parsed_content("train#trainer")
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: _note(place / "seen.log", e.state.iteration))
        trainer.run()

    def result(self, place: Path) -> Any:
        saved = torch.load(place / "out" / "checkpoint.pt", weights_only=True)
        encoder = load_file(place / "out" / "encoder.safetensors")
        whole = {k: saved[k] for k in ("method", "optimizers", "epoch", "iteration", "samples_seen")}
        best = torch.load(place / "out" / "best.pt", weights_only=True)
        whole |= {f"best {k}": best[k] for k in ("method", "epoch", "best")}
        return _plain({**whole, "encoder": encoder, "model": torch.load(place / "out" / "model.pt", weights_only=True)})

    def data(self, place: Path) -> list[Path]:
        return sorted((place / "source" / "scans").rglob("*.npy"))

    def lost(self, place: Path) -> str | None:
        return lost_iterations(place)


class Finetune:
    """A downstream bundle, with all its handlers."""

    name = "finetune"
    bundle = "classification"

    def set_up(self, inputs: Path, place: Path) -> None:
        shutil.copytree(inputs / "pictures", place / "source")
        (place / "out").mkdir(parents=True)
        shutil.copy(inputs / "mlruns.db", place / "out")

    def run(self, place: Path, workers: int) -> None:
        places = {"bundle_root": str(ROOT / self.bundle), "dataset_dir": str(place / "source"), "width": 2}
        options = {
            "image_size": [32, 32],
            "modality": "xray",
            "batch_size": 4,
            "max_epochs": EPOCHS,
            "scheme": "warmup",
        }
        more = {"warmup_epochs": 2, "lr": 0.01, "device": "cpu", "num_workers": workers, "resume": True}
        flow = workflow(self.bundle, output_dir=str(place / "out"), **places, **options, **more)
        trainer = flow.parser.get_parsed_content("train#trainer")
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: _note(place / "seen.log", e.state.iteration))
        trainer.run()

    def result(self, place: Path) -> Any:
        return _plain([torch.load(place / "out" / name, weights_only=True) for name in ("checkpoint.pt", "model.pt")])

    def data(self, place: Path) -> list[Path]:
        return sorted((place / "source").rglob("*.png"))

    def lost(self, place: Path) -> str | None:
        return lost_iterations(place)


class Study:
    """``study``: the jobs of a matrix, their locks and folders; the work of a job is small."""

    name = "study"

    def set_up(self, inputs: Path, place: Path) -> None:
        (place / "out").mkdir(parents=True)

    def run(self, place: Path, workers: int) -> None:
        fake_study.main(place / "out")

    def result(self, place: Path) -> Any:
        return {p.parent.name: json.loads(p.read_text()) for p in (place / "out").glob("*/*/result.json")}

    def data(self, place: Path) -> list[Path]:
        return []

    def lost(self, place: Path) -> str | None:
        """Say which finished job was begun again."""
        log = place / "out" / "started.log"
        again = [line for line in log.read_text().splitlines() if " True " in line] if log.exists() else []
        return f"finished, and begun again: {again[0]}" if again else None


def lost_iterations(place: Path) -> str | None:
    """Say how many iterations are gone, if they are more than those since the last checkpoint."""
    log, file = place / "seen.log", place / "out" / "checkpoint.pt"
    seen = int(log.read_text().split()[-1]) if log.exists() and log.read_text() else 0
    saved = torch.load(file, weights_only=True)["iteration"] if file.exists() else 0
    return f"iteration {seen} was reached, {saved} saved" if seen - saved > INTERVAL else None


def _note(path: Path, number: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{number}\n".encode())
    os.close(handle)


def _plain(x: Any) -> Any:
    """Tensors as bytes, so that results compare with ``==``, bit for bit."""
    if isinstance(x, torch.Tensor):
        return tuple(x.shape), x.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    return [_plain(v) for v in x] if isinstance(x, (list, tuple)) else x
