"""Every pre-training bundle on disk as a small case; what differs stands in the tests of its method.

``tests/methods/test_<method>.py`` defines two tables:

- ``SMALL``: for each configuration (``"pretrain"``, ``"pretrain_2d"``), overrides that make it small;
- ``MOVES``: for each term of the loss, the prefixes of the parameters that it must move, and no others.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from monai.bundle import ConfigParser
from PIL import Image

from monai_ssl.samples.phantom import phantom_xray, write_phantom_cohort

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


def write_cohort(root: Path) -> Path:
    """Four patients with a volume and four with a radiograph."""
    write_phantom_cohort(root, patients=4, shape=(40, 40, 32))
    for seed in range(4):
        folder = root / "xray" / f"patient{seed}"
        folder.mkdir(parents=True)
        Image.fromarray(phantom_xray(seed, (80, 80))[0].T).save(folder / "image.png")
    return root
