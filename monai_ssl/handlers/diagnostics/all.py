"""All sanity checks of a training run as one handler: collapse, frozen parts, zero gradients, repeated samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ssl.handlers.diagnostics.collapse import CollapseMonitor
from monai_ssl.handlers.diagnostics.data_wait import DataWait
from monai_ssl.handlers.diagnostics.frozen_parts import FrozenParts
from monai_ssl.handlers.diagnostics.identical_views import IdenticalViews
from monai_ssl.handlers.diagnostics.missing_labels import MissingLabels
from monai_ssl.handlers.diagnostics.repeated_samples import RepeatedSamples
from monai_ssl.handlers.diagnostics.zero_gradient import ZeroGradient

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class Diagnostics:
    """Check a run for what goes wrong without an error; each of these speaks once, in words.

    =============================== ===================================================
    :class:`DataWait`               training waits for data, above 30 % of the time
    :class:`CollapseMonitor`        all images get nearly the same representation
    :class:`ZeroGradient`           a loss term moves nothing
    :class:`FrozenParts`            a part that should be trained does not change
    :class:`IdenticalViews`         the views of a sample are equal
    :class:`RepeatedSamples`        the loader gives the same samples again
    :class:`MissingLabels`          a label of the proxy task never occurs
    =============================== ===================================================

    Weights that do not load are told by :func:`~monai_ssl.transfer.load_weights`. Nothing here changes the run: with
    and without it, the same seed gives the same network, and what fails in a diagnostic does not end it.
    """

    def attach(self, engine: SSLTrainer) -> None:
        """Attach all of them."""
        kinds = DataWait, CollapseMonitor, ZeroGradient, FrozenParts, IdenticalViews, RepeatedSamples, MissingLabels
        for kind in kinds:
            kind().attach(engine)


__all__ = ["Diagnostics"]
