"""Every pre-training bundle on disk as a small case; what differs stands in the tests of its method.

``tests/methods/test_<method>.py`` defines two tables:

- ``SMALL``: for each configuration (``"pretrain"``, ``"pretrain_2d"``), overrides that make it small;
- ``MOVES``: for each term of the loss, the prefixes of the parameters that it must move, and no others.
"""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from mlflow.tracking import MlflowClient
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from torch import Tensor

from monai_ssl.engines import SSLTrainer
from monai_ssl.methods import Method
from monai_ssl.samples.phantom import phantom_xray, write_phantom_cohort
from monai_ssl.transforms import BatchViews

BUNDLES = Path(__file__).parents[2] / "bundles"
CONFIGS = sorted(BUNDLES.glob("*/configs/pretrain*.json"))
COMMON = {"max_epochs": 1, "batch_size": 2, "windows_per_scan": 1, "num_workers": 0, "validation": 0.25}
SIZES: dict[int, dict[str, Any]] = {
    3: {"widths": [2, 4, 8, 16], "roi_size": [16, 16, 16]},
    2: {"width": 4, "roi_size": [64, 64]},
}


def name(path: Path) -> str:
    return f"{path.parts[-3]}-{path.stem}"


def dims(path: Path) -> int:
    return 2 if "2d" in path.stem else 3


def method_tests(method: str) -> ModuleType:
    """The tests of a method as a module, for their tables."""
    path = Path(__file__).parents[1] / "methods" / f"test_{method}.py"
    spec = importlib.util.spec_from_file_location(f"tables_of_{method}", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(path: Path, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    """The overrides that make a bundle small."""
    places = {"bundle_root": str(path.parents[1]), "dataset_dir": str(data), "output_dir": str(out)}
    own = method_tests(path.parts[-3]).SMALL[path.stem]
    return {**places, **COMMON, **SIZES[dims(path)], **own, "device": "cpu", "amp": False} | more


def parsed(path: Path, overrides: dict[str, Any]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(path))
    for key, value in overrides.items():
        parser[key] = value
    return parser


@dataclass
class Case:
    """A configuration, built once at test size as MONAI's command builds it."""

    path: Path
    output_dir: Path
    workflow: ConfigWorkflow
    method: Method
    views: BatchViews
    trainer: SSLTrainer
    windows: dict[str, Any]
    """A batch of the loader."""

    untrained: Method

    def copy(self) -> Method:
        """A copy of the method as it was built, in training mode; what it is asked leaves no trace in the run."""
        return copy.deepcopy(self.untrained).train()

    def batch(self, seed: int = 0) -> dict[str, Any]:
        """Views of the windows."""
        return self.views.set_random_state(seed)(dict(self.windows))


def terms_of(method: Method, batch: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """The terms of all steps, with the method's own draws begun anew."""
    method.generator.manual_seed(seed)
    torch.manual_seed(seed)
    return {name: term for step in method.steps for name, term in method(batch, step).items()}


@cache
def empty_database() -> bytes:
    """MLflow's tables without a run; to make them takes longer than to train at test size."""
    with TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/mlruns.db").search_experiments()
        return Path(folder, "mlruns.db").read_bytes()


def built(path: Path, overrides: dict[str, Any]) -> Case:
    out = Path(overrides["output_dir"])
    if not (out / "mlruns.db").exists():
        out.mkdir(parents=True, exist_ok=True)
        (out / "mlruns.db").write_bytes(empty_database())
    workflow = ConfigWorkflow(
        str(path),
        meta_file=str(path.parent / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        run_id="pretrain",
        **overrides,
    )
    workflow.initialize()
    method, views, trainer = (
        workflow.parser.get_parsed_content(key) for key in ("network_def", "views", "train#trainer")
    )
    windows = next(iter(trainer.data_loader))
    return Case(path, out, workflow, method, views, trainer, windows, copy.deepcopy(method))


def write_cohort(root: Path) -> Path:
    """Four patients with a volume and four with a radiograph."""
    write_phantom_cohort(root, patients=4, shape=(40, 40, 32))
    for seed in range(4):
        folder = root / "xray" / f"patient{seed}"
        folder.mkdir(parents=True)
        Image.fromarray(phantom_xray(seed, (80, 80))[0].T).save(folder / "image.png")
    return root
