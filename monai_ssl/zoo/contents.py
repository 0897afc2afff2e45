"""The files of a complete MONAI bundle: those of its folder, and those that are the same for all bundles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from monai_ssl import __version__
from monai_ssl.bundle_folders import is_shipped
from monai_ssl.zoo.page import zoo_page
from monai_ssl.zoo.resources import memory_lines

_SAME = {"LICENSE": "LICENSE", "logging.conf": "configs/logging.conf", "data_license.txt": "docs/data_license.txt"}
"""Files in ``files`` beside this module, and their places in a bundle that does not bring its own."""
_PARTS = ("LICENSE", "configs", "docs", "models", "large_files.yml")
_DEFAULTS = {
    "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
    "authors": "monai_ssl contributors",
    "copyright": "Copyright (c) monai_ssl contributors",
    "data_source": "the user's own unlabeled scans",
    "data_type": "nifti, dicom, nrrd, metaimage, png, jpeg",
    "image_classes": "one channel, intensities in [0, 1]: CT clipped to [-1000, 1000] HU, MR to its percentiles",
    "label_classes": "none",
    "intended_use": "research on pre-training; not a medical device",
    "eval_metrics": {},
}
_PACKAGES = ("pytorch-ignite", "nibabel", "mlflow", "safetensors")


def bundle_contents(source: Path) -> dict[str, bytes]:
    """Return what a bundle consists of, by path in it, sorted.

    Results of runs (``eval``) and hidden files stay out; weights in ``models`` go in.

    Args:
        source: folder of the bundle, as it stands in ``bundles``.

    Raises:
        ValueError: when a link leads out of the folder.
    """
    own = {member.relative_to(source).as_posix(): member.read_bytes() for member in _members(source)}
    shared = {place: (Path(__file__).parent / "files" / name).read_bytes() for name, place in _SAME.items()}
    if "configs/metadata.json" in own:
        metadata = metadata_of(source)
        own["configs/metadata.json"] = (json.dumps(metadata, indent=4, ensure_ascii=False) + "\n").encode()
        memory = memory_lines(source.name) if is_shipped(source) else []
        if "docs/README.md" in own:
            own["docs/README.md"] = zoo_page(own["docs/README.md"].decode(), metadata, memory).encode()
    return dict(sorted((shared | own).items()))


def metadata_of(source: Path) -> dict[str, Any]:
    """Return the metadata of a bundle in full: its own before what follows from its configuration and what all share.

    The versions required are those that are installed here.
    """
    own = json.loads((source / "configs/metadata.json").read_text())
    derived = {} if "network_data_format" in own else _data_format(source)
    return {**_DEFAULTS, "required_packages_version": {"monai-ssl": __version__, **_installed()}, **derived, **own}


def _data_format(source: Path) -> dict[str, Any]:
    """Return what the network of a pre-training bundle takes and gives."""
    # MONAI takes seconds to import, and only this needs it
    from monai.bundle import ConfigParser

    from monai_ssl.networks import as_encoder

    parser = ConfigParser()
    parser.read_config(str(source / "configs/pretrain.json"))
    size = parser.get_parsed_content(str(parser["pretraining"]["window_size"]).removeprefix("@"))
    encoder: Any = as_encoder(parser.get_parsed_content("encoder"))
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": encoder.in_channels,
        "spatial_shape": list(size),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {"0": "image"},
    }
    features = {
        "type": "array",
        "format": "features",
        "num_channels": encoder.channels[-1],
        "spatial_shape": [],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {"0": "feature vector"},
    }
    restores = json.loads((source / "configs/inference.json").read_text())["output"] == "restoration"
    pred = {**image, "channel_def": {"0": "restoration"}} if restores else features
    return {
        "pred_classes": "restoration of the image in [0, 1], or a feature vector" if restores else "a feature vector",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def _installed() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
