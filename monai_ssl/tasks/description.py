"""Description of a fine-tuned model (``model.json``): how its network is built again, and what it expects of images."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ignite import distributed as idist
from ignite.engine import Engine, Events

from monai_ssl.files import read_json, write_json
from monai_ssl.networks import Encoder, build, recipe_of
from monai_ssl.tasks.base import Task
from monai_ssl.transfer.encoders import matching_encoder

DESCRIPTION = "model.json"
"""Name of the file beside ``model.pt``."""
_logger = logging.getLogger(__name__)


class DescribeModel:
    """Ignite handler that writes ``model.json``, by which evaluation, inference and ``analyse`` read a model again.

    Args:
        ckpt_dir: where ``model.pt`` goes.
        task: what is trained.
        encoder: of the network, built by a configuration.
        network: the other arguments of ``task.network``.
        images: how they were prepared: ``modality``, ``intensity`` and, where scans are resampled, ``spacing``.
        weights: that the training started from; none from scratch.
        metric: by which the best weights were kept.
        split: what decides which patients are held out.

    >>> import tempfile
    >>> from monai_ssl.files import read_json
    >>> from monai_ssl.tasks import Segmentation
    >>> from monai_ssl.transfer import matching_encoder
    >>> folder = Path(tempfile.mkdtemp())
    >>> encoder = matching_encoder(None, spatial_dims=3, in_channels=1, width=4)
    >>> describe = DescribeModel(folder, Segmentation({"liver": 1}), encoder, {"norm": "batch"}, {"modality": "ct"})
    >>> describe(Engine(lambda *_: None))
    >>> read_json(folder / DESCRIPTION)["task"]
    {'name': 'Segmentation', 'labels': {'liver': 1}, 'regions': None}
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        task: Task,
        encoder: Encoder,
        network: Mapping[str, Any],
        images: Mapping[str, Any],
        weights: str | None = None,
        metric: str | None = None,
        split: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(ckpt_dir) / DESCRIPTION
        self.task, self.encoder, self.network, self.weights = task, encoder, network, weights
        self.images = {**images, **({"metric": metric} if metric else {}), **(split or {})}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file; a network whose recipe is not known is trained all the same."""
        del engine
        if idist.get_rank() > 0:
            return
        encoder: Mapping[str, Any] | None = None
        try:
            encoder = recipe_of(self.encoder)
        except ValueError as error:
            _logger.warning("%s cannot say how the encoder is built, so that `analyse` is lost: %s", self.path, error)
        about: dict[str, Any] = {"name": type(self.task).__name__}
        if dataclasses.is_dataclass(self.task):
            about |= dataclasses.asdict(self.task)
        described = {"task": about, "encoder": encoder, "network": dict(self.network), **self.images}
        write_json(self.path, described | {"in_channels": self.encoder.in_channels, "weights": str(self.weights or "")})


class DescribedModel:
    """Options that a fine-tuned model was trained with: those of ``model.json`` beside it, else of the bundle.

    Args:
        checkpoint: ``model.pt``.
        bundle_root: whose ``train.json`` answers what the description does not.

    Raises:
        ValueError: when the description is damaged.

    >>> from monai_ssl.bundle_folders import bundle_folder
    >>> model = DescribedModel("model.pt", bundle_folder("segmentation"))
    >>> model["labels"]  # there is no `model.json`
    {'foreground': 1}
    """

    def __init__(self, checkpoint: str | Path, bundle_root: str | Path) -> None:
        self.path = Path(checkpoint).with_name(DESCRIPTION)
        described = read_json(self.path, {})
        parts = [described, *(described.get(name) for name in ("network", "task"))] if described else []
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError(f"{self.path} is no description of a fine-tuned model: restore it, or train again.")
        self.recipe = described.get("encoder")
        self._trained = {name: value for part in parts for name, value in part.items()}
        self._options = read_json(Path(bundle_root) / "configs" / "train.json", {}) | self._trained

    def __getitem__(self, name: str) -> Any:
        if name not in self._options:
            raise ValueError(f"Neither {self.path} nor `train.json` of the bundle tells `{name}`: give it.")
        return self._options[name]

    def get(self, name: str, default: Any) -> Any:
        """Return an option, or ``default`` where neither the description nor the bundle has it."""
        return self._options.get(name, default)

    def encoder(self, weights: str | None, spatial_dims: int, in_channels: int, width: int | None = None) -> Encoder:
        """Return the encoder that the description tells; without, see :func:`monai_ssl.transfer.matching_encoder`."""
        if self.recipe is None or weights or width is not None:
            return matching_encoder(weights, spatial_dims, in_channels, width)
        return cast(Encoder, build(self.recipe))

    def compare(self, **given: Any) -> None:
        """Say which options are not those of the training: of a test set they may be others, of a mistake, too."""
        for name, value in given.items():
            if name in self._trained and self._trained[name] != value:
                _logger.warning(
                    "`%s` is %r here, and the model was trained with %r (%s).",
                    name,
                    value,
                    self._trained[name],
                    self.path,
                )
