"""Export: encoder and decoder as safetensors with their model card, and the whole method for inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite import distributed as idist
from ignite.engine import Engine, Events

from monai_ssl.engines.ssl_trainer import SSLTrainer
from monai_ssl.files import write_json
from monai_ssl.handlers.checkpoint import save_atomically
from monai_ssl.methods import Method
from monai_ssl.networks import recipe_of
from monai_ssl.transfer import ModelCard, export_weights

_logger = logging.getLogger(__name__)


class Export:
    """Write ``encoder.safetensors`` with its model card, and ``model.pt``, whenever an epoch ends.

    The encoder is what the downstream bundles load by ``--weights``. A method that trains a decoder leaves both in
    ``unet.safetensors``, for ``--weights`` with ``--part both`` or ``decoder``. ``model.pt`` is the state of the
    whole method, which ``inference.json`` loads; ``model.json`` says how it is built and what it expects of images.

    Args:
        output_dir: where the files go.
        method: name of the method, e.g. ``"pcrlv2"``.
        preset: of the method.
        encoder: how to build the encoder again: ``_target_`` and its arguments.
        facts: what the card says of the data, see ``PretrainingScans.facts``.
        every_epochs: epochs between two exports; the last epoch always makes one.
        data_license: of the data, in the user's words.
        window_size: voxels of a window, for inference.
    """

    def __init__(
        self,
        output_dir: str | Path,
        method: str,
        preset: str,
        encoder: Mapping[str, Any],
        facts: Mapping[str, Any],
        *,
        every_epochs: int = 10,
        data_license: str = "not stated",
        window_size: Sequence[int] = (),
    ) -> None:
        self.directory = Path(output_dir)
        self.method, self.preset, self.encoder = method, preset, encoder
        self.facts, self.every_epochs, self.data_license = facts, every_epochs, data_license
        self.window_size = window_size

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._tell)

    def __call__(self, trainer: SSLTrainer) -> None:
        state = trainer.state
        if idist.get_rank() != 0 or (state.epoch % self.every_epochs and state.epoch != state.max_epochs):
            return
        card = ModelCard(
            method=self.method,
            preset=self.preset,
            encoder=self.encoder,
            epochs=state.epoch,
            iterations=state.iteration,
            data_license=self.data_license,
            window_size=tuple(self.window_size),
            **self.facts,
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        if trainer.method.decoder is not None:
            export_weights(trainer.method, self.directory / "unet.safetensors", card, ("encoder", "decoder"))
        export_weights(trainer.method, self.directory / "encoder.safetensors", card)
        save_atomically(trainer.method.state_dict(), self.directory / "model.pt")
        if self.window_size:
            write_json(self.directory / "model.json", self._described(trainer.method))

    def _described(self, method: Method) -> dict[str, Any]:
        facts = {name: self.facts.get(name) for name in ("modality", "intensity", "normalize", "spacing")}
        return {"method": recipe_of(method), "window_size": list(self.window_size), **facts}

    def _tell(self, trainer: SSLTrainer) -> None:
        encoder = self.directory / "encoder.safetensors"
        if idist.get_rank() == 0 and encoder.is_file():
            _logger.info(
                "The encoder for fine-tuning (`--weights`) is %s, described in MODEL_CARD.md beside it.", encoder
            )
