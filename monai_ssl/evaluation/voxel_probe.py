"""Linear probe of single voxels from frozen multi-scale features: a cheap measure for segmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.evaluation.probes import knn_predict, linear_scores
from monai_ssl.networks.modes import device_of, evaluating


def voxel_probe(
    encoder: nn.Module,
    train: Sequence[tuple[Tensor, Tensor]],
    test: Sequence[tuple[Tensor, Tensor]],
    *,
    points_per_class: int = 200,
    roi_size: Sequence[int] = (96, 96, 96),
    seed: int = 0,
    k: int = 5,
    strength: float = 0.01,
) -> dict[str, float]:
    """Classify sampled voxels of test patients from frozen multi-scale features, as learned on training patients.

    From every volume up to ``points_per_class`` voxels of each class are drawn; the same seed draws the same voxels
    whatever the encoder, so that encoders compare in pairs. A voxel's vector is all feature maps of the encoder,
    interpolated there and standardized over the training voxels. One patient, one volume: patients must not stand on
    both sides.

    Args:
        encoder: maps (1, C, *spatial) to a list of feature maps, fine to coarse; put in evaluation mode for the time.
        train: images (C, *spatial) in [0, 1] with labels (*spatial), integers from 0.
        test: as ``train``, of other patients.
        points_per_class: voxels of each class and volume at most.
        roi_size: window in which features are computed; a multiple of the encoder's coarsest stride.
        seed: of the drawn voxels.
        k: neighbors.
        strength: inverse penalty of logistic regression.

    Returns:
        ``linear/macro`` and ``knn/macro``, the mean recall over the classes of the test part, and ``linear/class_<c>``,
        ``knn/class_<c>``; all in [0, 1].

    Raises:
        ValueError: when image and label differ in shape, or a part has no labeled voxel of two classes.
    """
    trained = _part(encoder, train, points_per_class, roi_size, seed)
    tested = _part(encoder, test, points_per_class, roi_size, seed + len(train))
    return voxel_recalls(trained, tested, k=k, strength=strength)


def voxel_recalls(
    trained: tuple[Tensor, Tensor], tested: tuple[Tensor, Tensor], *, k: int = 5, strength: float = 0.01
) -> dict[str, float]:
    """Return what :func:`voxel_probe` does, of vectors (N, D) and classes (N,) of voxels on both sides.

    Raises:
        ValueError: when a part has no labeled voxel of two classes.
    """
    (train_x, train_y), (test_x, test_y) = trained, tested
    if len(train_y.unique()) < 2 or len(test_y) == 0:
        raise ValueError("A voxel probe needs labeled voxels of at least two classes to learn and some to test.")
    mean, std = train_x.mean(0), train_x.std(0).clamp_min(1e-6)
    train_x, test_x = (train_x - mean) / std, (test_x - mean) / std
    predictions = {
        "linear": linear_scores(train_x, train_y, test_x, strength).argmax(1),
        "knn": knn_predict(train_x, train_y, test_x, k),
    }
    result: dict[str, float] = {}
    for name, predicted in predictions.items():
        recall = {int(c): float((predicted == test_y)[test_y == c].double().mean()) for c in test_y.unique()}
        result[f"{name}/macro"] = sum(recall.values()) / len(recall)
        result |= {f"{name}/class_{c}": value for c, value in recall.items()}
    return result


def draw_points(label: Tensor, points_per_class: int, generator: np.random.Generator) -> Tensor:
    """Return up to ``points_per_class`` voxel positions (N, dims) of each class in ``label`` (*spatial)."""
    flat = label.flatten().cpu().numpy()
    chosen = []
    for c in np.unique(flat):
        at = np.flatnonzero(flat == c)
        chosen.append(generator.choice(at, min(points_per_class, len(at)), replace=False))
    positions = np.stack(np.unravel_index(np.concatenate(chosen), tuple(label.shape)), axis=1)
    return torch.from_numpy(positions)


@torch.no_grad()
def voxel_features(encoder: nn.Module, image: Tensor, points: Tensor, roi_size: Sequence[int]) -> Tensor:
    """Return the features (N, D) of ``encoder`` at voxel positions (N, dims) of an image (C, *spatial).

    Each point is read from the window of ``roi_size`` in whose inner half it lies (near the border of the image: as
    near to that as there is image), so that the padding of convolutions hardly reaches it. Features are interpolated
    linearly between the centers of their cells.
    """
    device = device_of(encoder)
    missing = [max(0, r - s) for r, s in zip(roi_size, image.shape[1:], strict=True)]
    padded = F.pad(image, [p for m in reversed(missing) for p in (0, m)])
    starts = [_window_starts(points[:, d], r, padded.shape[1 + d]) for d, r in enumerate(roi_size)]
    start = torch.stack(starts, 1)
    found: Tensor | None = None
    for window in start.unique(dim=0):
        here = (start == window).all(1)
        cut = (slice(None), *(slice(int(a), int(a) + r) for a, r in zip(window, roi_size, strict=True)))
        part = padded[cut]
        features = encoder(part.unsqueeze(0).to(device))
        values = _interpolate(features, (points[here] - window).to(device), roi_size).float().cpu()
        if found is None:
            found = torch.empty(len(points), values.shape[1])
        found[here] = values
    if found is None:
        raise ValueError("No point was given to read features at.")
    return found


def _window_starts(position: Tensor, roi: int, size: int) -> Tensor:
    step = max(1, roi // 2)
    return ((position // step) * step - roi // 4).clamp(0, size - roi)


def _interpolate(features: Sequence[Tensor], points: Tensor, roi_size: Sequence[int]) -> Tensor:
    size = torch.tensor(list(roi_size), device=points.device)
    # `grid_sample` counts from -1 to 1 between outer cell borders, last axis first
    grid = ((2 * points + 1) / size - 1).flip(1).float()
    grid = grid.view(1, len(points), *[1] * (len(roi_size) - 1), len(roi_size))
    values = [
        F.grid_sample(f.float(), grid, mode="bilinear", padding_mode="border", align_corners=False) for f in features
    ]
    return torch.cat([v.flatten(2)[0] for v in values]).T


def _part(
    encoder: nn.Module, part: Sequence[tuple[Tensor, Tensor]], per_class: int, roi_size: Sequence[int], seed: int
) -> tuple[Tensor, Tensor]:
    vectors: list[Tensor] = []
    classes: list[Tensor] = []
    with evaluating(encoder):
        for number, (image, label) in enumerate(part):
            if image.shape[1:] != label.shape:
                raise ValueError(f"Image {tuple(image.shape[1:])} and label {tuple(label.shape)} differ in shape.")
            points = draw_points(label, per_class, np.random.default_rng([seed, number]))
            vectors.append(voxel_features(encoder, torch.as_tensor(image).float(), points, roi_size))
            classes.append(label[tuple(points.T)].long().cpu())
    if not vectors:
        return torch.empty(0, 1), torch.empty(0, dtype=torch.long)
    return torch.cat(vectors), torch.cat(classes)


__all__ = ["draw_points", "voxel_features", "voxel_probe", "voxel_recalls"]
