"""MLflow artifacts of a finished run: weights and model card, data set, registered model with its best version."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite import distributed as idist
from ignite.engine import Engine, Events

from monai_ssl.handlers.mlflow_run import PARENT_VARIABLE
from monai_ssl.handlers.tracking import Tracking

_WEIGHTS = ("encoder.safetensors", "encoder.safetensors.card.json", "MODEL_CARD.md")
_FOLDER = "encoder"
_SCORE = "probe/linear"


class Publication:
    """Record the data by their fingerprint, and at the end the encoder, its card and a version of a registered model.

    All pre-trainings of a project that have the same method are versions of one model, ``<method>-encoder``. The alias
    ``newest`` is that of the last one, ``best`` that of the highest linear probe, where runs have one (``probe_list``).
    The runs of a study, hundreds at times, are not registered, and their weights are not copied: they stay in its
    folder. Put it after the export and before :class:`monai_ssl.handlers.Tracking`, which closes the run.

    Args:
        output_dir: where the export puts the encoder.
        tracking: of the run.
        method: names the registered model.
        facts: of the data, as the model card has them.
    """

    def __init__(self, output_dir: str | Path, tracking: Tracking, method: str, facts: Mapping[str, Any]) -> None:
        self.output_dir, self.tracking, self.method, self.facts = Path(output_dir), tracking, method, facts

    def attach(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._record_data)
        if PARENT_VARIABLE not in os.environ:
            engine.add_event_handler(Events.COMPLETED, self._publish)

    def _record_data(self, engine: Engine) -> None:
        del engine
        profile = {name: self.facts.get(name) for name in ("scans", "patients", "modality", "spacing")}
        self.tracking.log_dataset("scans without labels", str(self.facts["data_fingerprint"]), profile, "pre-training")

    def _publish(self, engine: Engine) -> None:
        paths = [self.output_dir / name for name in _WEIGHTS]
        if not all(path.is_file() for path in paths):
            return
        for path in paths:
            self.tracking.log_artifact(path, _FOLDER)
        self.tracking.register(f"{self.method}-encoder", _FOLDER, engine.state.metrics.get(_SCORE))


__all__ = ["Publication"]
