"""Assembly of inference with a pre-trained method: features or restorations of scans, from what a run has left."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from monai.bundle import ConfigParser
from monai.handlers import ClassificationSaver, from_engine
from monai.inferers import Inferer, SlidingWindowInferer
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    Orientationd,
    SaveImaged,
    Transform,
)
from torch import Tensor

from monai_ssl.engines import InferenceNetwork, WindowMeanInferer
from monai_ssl.files import read_json
from monai_ssl.io.listing import images_in
from monai_ssl.io.monai_reader import load_files, named_below
from monai_ssl.methods import Method
from monai_ssl.networks import build
from monai_ssl.places import folder_of_images
from monai_ssl.store import Store
from monai_ssl.transfer import ScaleIntensityAsTrainedd, ScaleIntensityByPresetd, SetChannelsd
from monai_ssl.transfer.load import check_numbers
from monai_ssl.transfer.weights_file import read_checkpoint
from monai_ssl.transforms import ImageNetNormalized, ZScored

_SAMPLES = 4096
_NORMALIZATIONS = {"zscore": ZScored, "imagenet": ImageNetNormalized}


class Inference:
    """Everything that ``inference.json`` needs, from ``model.pt`` of a run and ``model.json`` beside it.

    ``model.json`` says how the method is built, the size of a window, and what images must look like. Without it (no
    weights yet, or those of an older version) the method is that of ``configs/<config>.json`` of the bundle.

    Args:
        bundle_root: folder of the bundle.
        weights: ``model.pt`` of a run, or its ``checkpoint.pt``.
        output: ``"restoration"`` or ``"features"``.
        output_dir: where results go.
        dataset_dir: of the images; a restoration lies as deep below ``output_dir`` as its image lies below this.
        config: configuration of pre-training that describes a method without ``model.json``.
        overrides: of that configuration, as they were typed in pre-training.
        modality: of the images; by default the one that pre-training saw.

    >>> import torch
    >>> from monai_ssl.bundle_folders import bundle_folder
    >>> small = {"widths": [2, 4]}
    >>> inference = Inference(str(bundle_folder("simclr")), "model.pt", "features", "out", overrides=small)
    >>> inference.window_size, inference.network.eval()(torch.rand(1, 1, 64, 64, 32)).shape
    ((64, 64, 32), torch.Size([1, 4]))
    """

    def __init__(
        self,
        bundle_root: str,
        weights: str,
        output: str,
        output_dir: str,
        dataset_dir: str = ".",
        *,
        config: str = "pretrain",
        overrides: Mapping[str, Any] | None = None,
        modality: str | None = None,
    ) -> None:
        self.weights, self.output = Path(weights), output
        self.output_dir, self.dataset_dir = output_dir, dataset_dir
        described = read_json(self.weights.with_name("model.json"))
        if described is None:
            self.method, self.window_size, normalize = _of_bundle(Path(bundle_root), config, overrides or {})
            described = {"modality": "ct", "intensity": {}}
        else:
            self.method = cast(Method, build(described["method"], _targets(Path(bundle_root), config)))
            self.window_size, normalize = tuple(described["window_size"]), described["normalize"]
        normalizer = _NORMALIZATIONS[normalize]("image").normalize if normalize else None
        self.network = InferenceNetwork(self.method, output, normalizer)
        self.modality, self.intensity = _of_modality(described, modality)
        # what the user says counts
        self._scale = ScaleIntensityByPresetd if modality else ScaleIntensityAsTrainedd
        self.channels = self.method.encoder.in_channels

    def load(self) -> None:
        """Load the whole method.

        Raises:
            FileNotFoundError: when there are no weights.
            ValueError: when they are those of another method or network.
        """
        load_method(self.method, str(self.weights))

    @property
    def spatial_dims(self) -> int:
        """2 for images, 3 for volumes."""
        return len(self.window_size)

    @property
    def preprocessing(self) -> Compose:
        """From a file to an image (C, *spatial) in [0, 1]; only the intensities are changed."""
        steps: list[Transform] = [load_files("image"), EnsureChannelFirstd("image")]
        if self.spatial_dims == 3:
            steps.append(Orientationd("image", "RAS", labels=None))
        steps += [
            self._scale("image", self.modality, self.intensity),
            SetChannelsd("image", self.channels),
            EnsureTyped("image"),
        ]
        return Compose(steps)

    @property
    def inferer(self) -> Inferer:
        """Windows over the scan: blended for restorations, averaged for features."""
        if self.output == "features":
            return WindowMeanInferer(self.window_size)
        return SlidingWindowInferer(self.window_size, sw_batch_size=4, overlap=0.25, mode="gaussian")

    @property
    def postprocessing(self) -> Compose:
        """Restorations are written as images."""
        save = SaveImaged(
            "pred",
            output_dir=self.output_dir,
            output_postfix="restored",
            separate_folder=False,
            data_root_dir=".",
            output_name_formatter=named_below(self.dataset_dir),
        )
        return Compose([save] if self.output == "restoration" else [])

    @property
    def handlers(self) -> list[ClassificationSaver]:
        """Features are written as a table, a row for each image."""
        if self.output != "features":
            return []
        return [
            ClassificationSaver(
                output_dir=self.output_dir,
                filename="features.csv",
                batch_transform=lambda batch: [item["image"].meta for item in batch],
                output_transform=from_engine("pred"),
            )
        ]


def _of_bundle(root: Path, config: str, overrides: Mapping[str, Any]) -> tuple[Method, Sequence[int], str | None]:
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / f"{config}.json"))
    parser.update(dict(overrides))
    if "network_def#samples" not in overrides:
        without_data(parser)
    size = str(parser["pretraining"]["window_size"]).removeprefix("@")
    method, window_size, views = (parser.get_parsed_content(name) for name in ("network_def", size, "views"))
    kinds = [type(transform) for transform in views.transforms]
    return method, tuple(window_size), next((name for name, kind in _NORMALIZATIONS.items() if kind in kinds), None)


def without_data(parser: ConfigParser) -> None:
    """Let a method be built where there is no data: a bank of samples, as long as the data set, gets some length."""
    if "samples" in parser["network_def"]:
        parser["network_def#samples"] = _SAMPLES


def _targets(root: Path, config: str) -> set[str]:
    """Return the classes that the bundle's own configuration names, those of a user's package among them."""
    path = root / "configs" / f"{config}.json"
    return set(re.findall(r'"_target_": *"([^"]+)"', path.read_text())) if path.is_file() else set()


def _of_modality(described: Mapping[str, Any], modality: str | None) -> tuple[str, Mapping[str, Any] | None]:
    intensity = described["intensity"]
    if intensity and "kind" not in intensity:
        # several modalities were seen, with an intensity preset for each
        if modality is None or modality not in intensity:
            raise ValueError(f"The weights saw {' and '.join(sorted(intensity))}: give the `modality` of the images.")
        return modality, intensity[modality]
    if modality is not None and modality.lower() != described["modality"].lower():
        return modality, None
    return described["modality"], intensity or None


def images(dataset_dir: str, spatial_dims: int | None = None) -> list[dict[str, str]]:
    """List the images of a folder, or the one file, for inference; see :func:`monai_ssl.io.listing.images_in`.

    Raises:
        ValueError: when there is none, or ``dataset_dir`` is a store or a URL.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.nii.gz", "b.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     found = images(folder, spatial_dims=3)
    >>> [Path(case["image"]).name for case in found]
    ['a.nii.gz']
    """
    if Store.is_store(dataset_dir):
        raise ValueError(
            f"`dataset_dir` names the store {dataset_dir}: give the folder that it was prepared from, or make features "
            f"of a store by `python -m monai_ssl embed --weights RUN --data {dataset_dir} --out features.csv`."
        )
    return [{"image": path} for path in images_in(folder_of_images(dataset_dir), spatial_dims)]


def load_method(method: Method, weights: str) -> None:
    """Load the whole method from ``model.pt`` of a run, or from its ``checkpoint.pt``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds another method or network.
    """
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"`weights` names {path}, which does not exist: it is `model.pt` in a run's `output_dir`."
        )
    if path.suffix == ".safetensors":
        raise ValueError(
            f"`weights` names {path}, a part of the method: give `model.pt` beside it, or make features of any images "
            f"by `python -m monai_ssl embed --weights {path} --data DATA --out features.csv`."
        )
    state = read_checkpoint(path)
    state = state.get("method", state)
    check_numbers({k: v for k, v in state.items() if isinstance(v, Tensor)}, method.state_dict(), str(path))
    try:
        method.load_state_dict(state)
    except (RuntimeError, TypeError) as e:
        raise ValueError(
            f"{path} was written by another method, preset or width than this configuration. Without `model.json` "
            "beside it, give as `--overrides` what was set in pre-training, e.g. {'widths': [8, 16]}. "
            f"{(str(e).splitlines()[1:] or [str(e)])[0].strip()}"
        ) from e


__all__ = ["Inference", "images", "load_method", "without_data"]
