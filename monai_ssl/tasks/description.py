"""Description of a fine-tuned model: how its network is built again, and what it expects of images (``model.json``)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite import distributed as idist
from ignite.engine import Engine, Events

from monai_ssl.files import write_json
from monai_ssl.networks import Encoder, recipe_of
from monai_ssl.tasks.base import Task

DESCRIPTION = "model.json"
"""Name of the file beside ``model.pt``."""
_logger = logging.getLogger(__name__)


class DescribeModel:
    """Ignite handler that writes ``model.json``, by which ``python -m monai_ssl analyse`` reads a model again.

    Args:
        ckpt_dir: where ``model.pt`` goes.
        task: what is trained.
        encoder: of the network, built by a configuration.
        network: the other arguments of ``task.network``.
        images: how they were prepared: ``modality``, ``intensity`` and, where scans are resampled, ``spacing``.
        weights: that the training started from; none from scratch.

    >>> import tempfile
    >>> from monai_ssl.files import read_json
    >>> from monai_ssl.tasks import Segmentation
    >>> from monai_ssl.transfer import matching_encoder
    >>> folder = Path(tempfile.mkdtemp())
    >>> encoder = matching_encoder(None, spatial_dims=3, in_channels=1, width=4)
    >>> describe = DescribeModel(folder, Segmentation({"liver": 1}), encoder, {"norm": "batch"}, {"modality": "ct"})
    >>> describe(Engine(lambda *_: None))
    >>> read_json(folder / DESCRIPTION)["task"]
    {'name': 'Segmentation', 'labels': {'liver': 1}}
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        task: Task,
        encoder: Encoder,
        network: Mapping[str, Any],
        images: Mapping[str, Any],
        weights: str | None = None,
    ) -> None:
        self.path = Path(ckpt_dir) / DESCRIPTION
        self.task, self.encoder, self.network, self.images, self.weights = task, encoder, network, images, weights

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file; a network whose recipe is not known is trained all the same."""
        del engine
        if idist.get_rank() > 0:
            return
        try:
            encoder = recipe_of(self.encoder)
        except ValueError as error:
            _logger.warning("%s is not written, so that `analyse` cannot read the model: %s", self.path, error)
            return
        about: dict[str, Any] = {"name": type(self.task).__name__}
        if dataclasses.is_dataclass(self.task):
            about |= dataclasses.asdict(self.task)
        described = {"task": about, "encoder": encoder, "network": dict(self.network), **self.images}
        write_json(self.path, described | {"weights": str(self.weights or "")})
