"""Online kNN and linear probe: accuracy of frozen features during pre-training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from torch import Tensor

from monai_ssl.evaluation.probes import cross_validated_linear_probe, knn_accuracy, leave_one_out_knn, linear_probe
from monai_ssl.handlers.guard import Guard
from monai_ssl.handlers.preserving_state import preserving_state

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_NAMES = "probe/knn", "probe/linear"
Labeled = Sequence[Mapping[str, Any]]


class Probe:
    """Score frozen representations of labeled images: ``probe/knn`` and ``probe/linear`` in the metrics.

    The first is the accuracy of the nearest neighbors by cosine, the second the balanced accuracy of logistic
    regression; both in [0, 1], and the first choice to select a checkpoint by, since the loss of a pretext task does
    not predict transfer. Without a test part, neighbors leave one image (or group) out and logistic regression is
    cross-validated in five folds. Computed on rank 0 and told to all.

    A probe that fails later on says so and leaves its scores out; the run goes on.

    The network before its first iteration is scored, too: ``probe/knn_at_start`` and ``probe/linear_at_start`` stay
    beside the others, and a warning says when training ends no better. A run that is continued does not repeat that.

    Args:
        train: labeled images ``{"image": (C, *spatial), "label": int}``, all of one shape; with ``"group"``, such as a
            patient number, images of one group never serve each other.
        test: as ``train``, to score on.
        every: epochs between two evaluations; the last epoch is always evaluated.
        k: neighbors.
        batch_size: images in a forward pass.

    Raises:
        ValueError: when ``every`` is below 1; before the first iteration, when there are fewer than two classes, or
            images differ in shape.
    """

    def __init__(
        self, train: Labeled, test: Labeled | None = None, every: int = 1, *, k: int = 5, batch_size: int = 8
    ) -> None:
        if every < 1:
            raise ValueError(f"`every` of `Probe` is a number of epochs of at least 1, got {every}.")
        self.train = train
        self.test = test
        self.every = every
        self.k = k
        self.batch_size = batch_size
        self._guard = Guard("Probe")

    def attach(self, engine: SSLTrainer) -> None:
        """Evaluate before the first iteration and at the end of epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._evaluate_start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._evaluate)
        engine.add_event_handler(Events.COMPLETED, self._compare)

    def _evaluate_start(self, engine: SSLTrainer) -> None:
        if engine.state.iteration == 0:
            found = self._shared(self._scores(engine) if engine.takes_part else None)
            engine.state.metrics |= {f"{name}_at_start": score for name, score in found.items()}

    def _evaluate(self, engine: SSLTrainer) -> None:
        if engine.state.epoch % self.every == 0 or engine.state.epoch == engine.state.max_epochs:
            found = self._guard(engine, lambda: self._scores(engine)) if engine.takes_part else None
            for name in _NAMES:
                # the last score is not that of this network
                engine.state.metrics.pop(name, None)
            engine.state.metrics |= self._shared(found)

    def _compare(self, engine: SSLTrainer) -> None:
        before, after = (engine.state.metrics.get(name) for name in ("probe/linear_at_start", "probe/linear"))
        if before is None or after is None or after > before or after == 1.0 or idist.get_rank() != 0:
            return
        warnings.warn(
            f"Frozen features tell the labels no better than before the training: probe/linear is {after:.3f}, and was "
            f"{before:.3f} at the start. With few labeled images that may be chance; else train longer, or choose "
            "another method with `python -m monai_ssl advise`.",
            UserWarning,
            stacklevel=2,
        )

    def _shared(self, found: tuple[float, float] | None) -> dict[str, float]:
        """Return the scores that rank 0 found, on all ranks; nothing when it found none."""
        scores = torch.tensor(found or (float("nan"),) * 2, dtype=torch.float64, device=idist.device())
        if idist.get_world_size() > 1:
            scores = idist.broadcast(scores, src=0)  # type: ignore[assignment]
        return {} if bool(scores.isnan().any()) else dict(zip(_NAMES, scores.tolist(), strict=True))

    def _scores(self, engine: SSLTrainer) -> tuple[float, float]:
        x, y, groups = self._represent(engine, self.train)
        if len(y.unique()) < 2:
            raise ValueError("The labeled images of `Probe` are all of one class; a probe needs two at least.")
        if self.test is not None:
            test_x, test_y, _ = self._represent(engine, self.test)
            linear = linear_probe(x, y, test_x, test_y)
            return knn_accuracy(x, y, test_x, test_y, self.k), linear["balanced_accuracy"]
        folds = min(5, len(groups.unique()))
        linear = cross_validated_linear_probe(x, y, folds, groups)
        return leave_one_out_knn(x, y, self.k, groups), linear["balanced_accuracy"]

    def _represent(self, engine: SSLTrainer, items: Labeled) -> tuple[Tensor, Tensor, Tensor]:
        vectors, labels, groups = [], [], []
        with preserving_state(engine) as method:
            for at in range(0, len(items), self.batch_size):
                some = [items[i] for i in range(at, min(at + self.batch_size, len(items)))]
                images = _stacked([torch.as_tensor(item["image"]) for item in some])
                vectors.append(method.representation(engine.to_device({"image": images})["image"]).float().cpu())
                labels += [int(item["label"]) for item in some]
                groups += [int(item.get("group", at + i)) for i, item in enumerate(some)]
        if not bool(torch.cat(vectors).isfinite().all()):
            raise ValueError("The features of the labeled images of `Probe` are NaN or infinite.")
        return torch.cat(vectors), torch.tensor(labels), torch.tensor(groups)


def _stacked(images: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f"The labeled images of `Probe` must be of one shape, got {sorted(shapes)}; crop or resize.")
    return torch.stack(list(images)).float()


__all__ = ["Probe"]
