"""All sanity checks of a training run as one handler: collapse, frozen parts, zero gradients, repeated samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ssl.handlers.collapse import CollapseMonitor
from monai_ssl.handlers.frozen_parts import FrozenParts
from monai_ssl.handlers.identical_views import IdenticalViews
from monai_ssl.handlers.missing_labels import MissingLabels
from monai_ssl.handlers.repeated_samples import RepeatedSamples
from monai_ssl.handlers.timing import DataWait
from monai_ssl.handlers.zero_gradient import ZeroGradient

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class Watch:
    """Watch a run for what goes wrong without an error; each of these speaks once, in words.

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
    and without it, the same seed gives the same network.
    """

    def attach(self, engine: SSLTrainer) -> None:
        """Attach all of them."""
        for handler in (
            DataWait(),
            CollapseMonitor(),
            ZeroGradient(),
            FrozenParts(),
            IdenticalViews(),
            RepeatedSamples(),
            MissingLabels(),
        ):
            handler.attach(engine)


__all__ = ["Watch"]
