"""Linear probe as a scheme of fine-tuning: the head is fitted by logistic regression on frozen features."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch import Tensor, nn
from torch.utils.data import Dataset

from monai_ssl.evaluation.probes import fit_linear
from monai_ssl.evaluation.voxel_probe import draw_points, voxel_features
from monai_ssl.networks import EncoderClassifier, LinearSegmenter
from monai_ssl.networks.modes import device_of, evaluating

_logger = logging.getLogger(__name__)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the regression, weak penalty last; validation patients choose."""
_NEVER = -1e4


class LinearProbe:
    """Ignite handler that fits the linear head of a network and ends the training before its first iteration.

    Features of the training cases are standardized, and the multinomial logistic regression on them is solved to
    convergence; validation cases choose the strength of its penalty, as they choose an epoch in training. Nothing is
    random but the voxels that are drawn. For a segmentation, voxels of each class are drawn; unless the metric weighs
    classes alike, too, the bias is corrected for that (King and Zeng, "Logistic Regression in Rare Events Data",
    Political Analysis 9, 2001, Eq. 7).

    Args:
        network: :class:`EncoderClassifier` or :class:`LinearSegmenter`, may be wrapped by ``DistributedDataParallel``.
        dataset: training cases with ``image`` (C, *spatial) in [0, 1] and ``label``, without augmentation.
        validator: chooses the penalty by its key metric; without cases the middle one is taken.
        higher_is_better: of that metric.
        roi_size: window in which voxels are read; none for a classification.
        voxels: of each class and case at most.
        seed: of the drawn voxels.
        balanced: whether the metric weighs classes alike, so that rare ones are to be found as often as others.

    Raises:
        ValueError: in training, for another network, or when the cases are all of one class.

    >>> from monai.data import Dataset as Cases
    >>> from monai.engines import SupervisedEvaluator
    >>> from monai_ssl.networks import ConvEncoder
    >>> network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2)
    >>> cases = Cases([{"image": torch.full((1, 8, 8), float(i % 2)), "label": i % 2} for i in range(4)])
    >>> trainer = Engine(lambda engine, batch: None)
    >>> LinearProbe(network, cases, SupervisedEvaluator("cpu", [], network)).attach(trainer)
    >>> trainer.run([0], max_epochs=5).iteration  # not one step: the head is fitted
    0
    >>> with evaluating(network):
    ...     network(torch.stack([case["image"] for case in cases])).argmax(1)
    tensor([0, 1, 0, 1])
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        validator: Evaluator,
        *,
        higher_is_better: bool = True,
        roi_size: Sequence[int] = (),
        voxels: int = 300,
        seed: int = 0,
        balanced: bool = False,
    ) -> None:
        self.network: Any = getattr(network, "module", network)
        self.dataset, self.validator = dataset, validator
        self.higher_is_better, self.roi_size, self.voxels, self.seed = higher_is_better, roi_size, voxels, seed
        self.balanced = balanced

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, trainer: Engine) -> None:
        """Fit the head, and end the training."""
        if not isinstance(self.network, (EncoderClassifier, LinearSegmenter)):
            raise ValueError(f"`scheme` 'probe' fits a linear head, which {type(self.network).__name__} has not.")
        x, y, prior = self._training_vectors()
        kinds = [y[:, k] for k in range(y.shape[1])] if y.ndim == 2 else [y]
        if all(len(kind.unique()) < 2 for kind in kinds):
            raise ValueError("A linear probe needs training cases of at least two classes.")
        best, head = math.nan, None
        for number, strength in enumerate(STRENGTHS if self._has_cases() else STRENGTHS[len(STRENGTHS) // 2 :][:1]):
            self._set_head(*fit_linear(x, y, strength), prior)
            score = self._validated(number + 1)
            _logger.info("Linear probe, strength %g: %.4f on validation cases", strength, score)
            if head is None or score > best or (math.isnan(best) and not math.isnan(score)):
                best, head = score, {name: value.clone() for name, value in self.network.head.state_dict().items()}
        assert head is not None
        self.network.head.load_state_dict(head)
        trainer.terminate()

    def _has_cases(self) -> bool:
        return len(self.validator.data_loader) > 0  # type: ignore[arg-type]

    def _validated(self, number: int) -> float:
        if not self._has_cases():
            return math.nan
        self.validator.run(number)
        name = self.validator.state.key_metric_name
        score = float(self.validator.state.metrics[name])
        return score if self.higher_is_better else -score

    @torch.no_grad()
    def _training_vectors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return features (N, D), classes (N,) or (N, K), and for voxels the log of how many each stands for."""
        vectors, classes = [], []
        drawn, there = torch.zeros(0), torch.zeros(0)
        encoder = self.network.encoder
        with evaluating(self.network):
            for number in range(len(self.dataset)):  # type: ignore[arg-type]
                sample: dict[str, Any] = self.dataset[number]
                image, label = (torch.as_tensor(sample[key]).as_subclass(Tensor) for key in ("image", "label"))
                if isinstance(self.network, EncoderClassifier):
                    vectors.append(self.network.vectors(image[None].to(device_of(encoder))).float().cpu())
                    classes.append(label[None].cpu())
                    continue
                label = label[0].long().cpu()
                points = draw_points(label, self.voxels, np.random.default_rng([self.seed, number]))
                vectors.append(voxel_features(encoder, image.float(), points, self.roi_size))
                classes.append(label[tuple(points.T)])
                count = self.network.head.out_channels
                drawn = _plus(drawn, torch.bincount(classes[-1], minlength=count))
                there = _plus(there, torch.bincount(label.flatten(), minlength=count))
        alike = self.balanced or not len(drawn)
        prior = None if alike else torch.where(drawn > 0, (there / drawn.clamp_min(1)).log(), 0.0)
        return torch.cat(vectors), torch.cat(classes), prior

    @torch.no_grad()
    def _set_head(self, weight: Tensor, bias: Tensor, prior: Tensor | None) -> None:
        head, known = self.network.head, len(bias)
        # a class beyond those of the training cases is never the answer
        head.weight.zero_()
        head.bias.fill_(_NEVER)
        head.weight[:known] = weight.T.reshape(known, *head.weight.shape[1:]).to(head.weight)
        head.bias[:known] = (bias if prior is None else bias + prior[:known].to(bias)).to(head.bias)


def _plus(a: Tensor, b: Tensor) -> Tensor:
    return b.float() if not len(a) else a + b


__all__ = ["LinearProbe"]
