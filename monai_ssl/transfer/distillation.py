"""Self-distillation with unlabeled images: a fine-tuned network teaches another, or itself anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.transfer.weights_file import read_checkpoint


def teacher_file(teacher: str) -> Path:
    """Return ``model.pt`` of the folder of a fine-tuning.

    Raises:
        FileNotFoundError: when it is not there.
    """
    path = Path(teacher, "model.pt")
    if not teacher or not path.is_file():
        raise FileNotFoundError(f"`teacher` must be the folder of a fine-tuning with its model.pt, got {teacher!r}.")
    return path


class DistillationLoss(nn.Module):
    """Cross-entropy of a student against what a teacher says of the same images.

    -mean_i sum_y P_T(y | x_i; t) log P_S(y | x_i; t) with P(y | x; t) = softmax(logits / t) (Chen et al., "Big
    Self-Supervised Models are Strong Semi-Supervised Learners", NeurIPS 2020, Eq. 2); for classes that do not exclude
    each other a sigmoid each, and the mean over classes.

    Args:
        temperature: t, above 0; the authors take 0.1 to 1.
        multilabel: whether an image may have several classes.

    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> round(float(DistillationLoss()(logits, logits)), 3)  # the entropy of the teacher is the least
    0.365
    """

    def __init__(self, temperature: float = 1.0, multilabel: bool = False) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"`temperature` must be above 0, got {temperature}.")
        self.temperature, self.multilabel = temperature, multilabel

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of logits (B, K) against logits (B, K), in float32 under autocast, too."""
        student, teacher = student.float() / self.temperature, teacher.float() / self.temperature
        if self.multilabel:
            return F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
        return F.cross_entropy(student, teacher.softmax(1))


class TeacherTargets:
    """``prepare_batch`` of MONAI's ``SupervisedTrainer`` that asks a teacher, in evaluation mode, instead of labels.

    Student and teacher see the same augmented images.

    Args:
        network: of the teacher, as it was fine-tuned.
        checkpoint: its ``model.pt``.
        device: of the training.

    Raises:
        ValueError: when the file holds another network.

    >>> import tempfile
    >>> path = f"{tempfile.mkdtemp()}/model.pt"
    >>> teacher = nn.Linear(2, 3)
    >>> torch.save({"model": teacher.state_dict()}, path)
    >>> images, logits = TeacherTargets(teacher, path, "cpu")({"image": torch.ones(4, 2)})
    >>> tuple(logits.shape), logits.requires_grad
    ((4, 3), False)
    """

    def __init__(self, network: nn.Module, checkpoint: str | Path, device: torch.device | str) -> None:
        content = read_checkpoint(Path(checkpoint))
        try:
            network.load_state_dict(content.get("model", content))
        except RuntimeError as error:
            raise ValueError(
                f"{checkpoint} holds another network than `model.json` beside it tells: {error}"
            ) from error
        self.network = network.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(
        self, batch: Mapping[str, Any], device: torch.device | str = "cpu", non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *spatial) and the teacher's logits (B, K) of them."""
        images = batch["image"].to(device, non_blocking=non_blocking, **kwargs)
        return images, self.network(images)


__all__ = ["DistillationLoss", "TeacherTargets", "teacher_file"]
