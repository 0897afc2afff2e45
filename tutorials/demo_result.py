"""What `make demo` measures: a probe of frozen features on a patient that pre-training never saw, and its picture."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LABELED_VOXELS = (10, 100)
"""Of each structure, in the one patient whose labels the probe sees."""
WINDOW = (32, 32, 32)
_DRAWS, _VOXELS, _SLAB = 5, 300, 32
_NAMES = ("untrained", "pre-trained")
_COLORS = {"untrained": "#999999", "from scratch": "#999999", "pre-trained": "#0072b2"}
_STRUCTURES = np.array([[0, 0, 0], [230, 159, 0], [86, 180, 233], [204, 121, 167]]) / 255


Scan = tuple[Tensor, Tensor]
"""Image (1, X, Y, Z) in [0, 1], and classes (X, Y, Z)."""
Scores = dict[int, dict[str, list[float]]]
"""Of each network, by the number of labeled voxels and by whether it was trained."""
Curves = dict[str, list[list[float]]]
"""Validation Dice of each epoch of each run, by how the run began."""


def load(image: Path, label: Path, spacing: float) -> Scan:
    """Return a scan as fine-tuning loads it."""
    from monai.transforms import Compose

    from monai_ssl.samples.packages import CHEST_LABELS
    from monai_ssl.tasks import Segmentation

    loading = Segmentation(CHEST_LABELS).loading("ct", spacing=[spacing] * 3)
    sample: Any = Compose(loading)({"image": str(image), "label": str(label)})
    return sample["image"].as_tensor(), sample["label"].as_tensor()[0].long()


def measure(
    known: Scan, asked: Scan, weights: Sequence[Path], untrained: int
) -> tuple[Scores, dict[str, tuple[Tensor, Tensor]]]:
    """Return the scores of all networks, and a slice of ``asked`` as the first of each kind labels it."""
    image, label = asked
    at = int((label > 0).flatten(0, 1).sum(0).argmax())
    gray = image[0, ..., at]
    slices = {"scan": (gray, torch.zeros_like(label[..., at])), "its labels": (gray, label[..., at])}
    scores: Scores = {count: {name: [] for name in _NAMES} for count in LABELED_VOXELS}
    for name, encoder in encoders(weights, untrained):
        for count, score in probe(encoder, known, asked).items():
            scores[count][name].append(score)
        if f"frozen features, {name}" not in slices:
            slices[f"frozen features, {name}"] = (gray, label_slice(encoder, known, image, at))
    return scores, slices


def encoders(weights: Sequence[Path], untrained: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield networks of the same architecture: freshly drawn ones, then those of ``weights``."""
    from monai_ssl.networks import build
    from monai_ssl.tasks.networks import normalize_inputs
    from monai_ssl.transfer import load_weights, read_card

    card = read_card(weights[0])
    assert card is not None
    for number in range(untrained + len(weights)):
        torch.manual_seed(number)
        encoder = build(card.encoder)
        if number >= untrained:
            load_weights(encoder, weights[number - untrained])
        normalize_inputs(encoder, card.normalize)
        yield _NAMES[number >= untrained], encoder.eval()


def probe(encoder: nn.Module, known: Scan, asked: Scan) -> dict[int, float]:
    """Return the mean recall of the classes in ``asked`` by the number of labeled voxels in ``known``.

    Logistic regression on frozen features, the mean over draws of the labeled voxels. Batch norm, where the network
    has it, is told the statistics of the labeled scan, so that an untrained network is no worse off for want of any.
    """
    from monai_ssl.evaluation import recollect_bn
    from monai_ssl.evaluation.probes import linear_scores, scored

    recollect_bn(encoder, _windows(known[0]))
    (x, y, _), (test_x, test_y, _) = (_voxels(encoder, *case, seed) for seed, case in enumerate((known, asked)))
    found: dict[int, float] = {}
    for count in LABELED_VOXELS:
        scores = []
        for draw in range(_DRAWS):
            order = torch.randperm(len(y), generator=torch.Generator().manual_seed(draw))
            few = torch.cat([order[y[order] == c][:count] for c in y.unique()])
            scores.append(scored(linear_scores(x[few], y[few], test_x, 0.01), test_y)["balanced_accuracy"])
        found[count] = mean(scores)
    return found


def label_slice(encoder: nn.Module, known: Scan, image: Tensor, at: int) -> Tensor:
    """Return the classes (X, Y) that linear regression on frozen features of ``known`` gives to an axial slice."""
    from monai.inferers import sliding_window_inference

    from monai_ssl.evaluation.probes import fit_linear
    from monai_ssl.networks import LinearSegmenter

    x, y, share = _voxels(encoder, *known, 0)
    weight, bias = fit_linear(x, y, 0.01)
    network = LinearSegmenter(encoder, len(bias))
    network.head.weight.data = weight.T.reshape(network.head.weight.shape).float()
    # classes were drawn alike, but are not alike frequent
    network.head.bias.data = (bias + share.log()).float()
    first = min(max(0, at - _SLAB // 2), image.shape[-1] - _SLAB)
    slab = image[None, ..., first : first + _SLAB]
    with torch.no_grad():
        scores = sliding_window_inference(slab, WINDOW, 8, network.eval(), overlap=0.5, mode="gaussian")
    return torch.as_tensor(scores)[0, ..., at - first].argmax(0)


def curve(output_dir: Path, record: Path) -> list[float]:
    """Return the validation Dice of a fine-tuning run, epoch by epoch, from the MLflow record."""
    from monai_ssl.mlflow_place import read_note

    metric = "SELECT value FROM metrics JOIN runs USING (run_uuid) WHERE key LIKE '%val_mean_dice%'"
    with sqlite3.connect(record) as database:
        return [
            float(value)
            for (value,) in database.execute(f"{metric} AND name = ? ORDER BY step", read_note(output_dir)[:1])
        ]


def p_value(scores: Mapping[str, Sequence[float]]) -> float:
    """Return the exact two-sided p-value of Mann and Whitney: how often chance orders networks as clearly."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(scores["pre-trained"], scores["untrained"], method="exact").pvalue)


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation in words."""
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def conclusion(probed: Scores, curves: Curves) -> str:
    """Return what was shown on this patient, in the words that the numbers allow."""
    apart = [_apart(scores["pre-trained"], scores["untrained"]) for scores in probed.values()]
    frozen = {
        (True, 1): "every pre-trained network tells them better than every untrained one",
        (True, -1): "every pre-trained network tells them worse than every untrained one",
    }.get((len(set(apart)) == 1, apart[0]), "pre-trained and untrained networks are not set apart")
    tuned, scratch = ([values[-1] for values in curves[name]] for name in ("pre-trained", "from scratch"))
    gain = mean(tuned) - mean(scratch)
    clear = "in every seed" if _apart(tuned, scratch) else "but seeds differ by as much"
    return (
        f"Shown: asked about structures of a patient that it never saw, {frozen}. Fine-tuned, the pre-trained end "
        f"{abs(gain):.3f} Dice {'above' if gain >= 0 else 'below'} training from scratch, {clear}. It is one patient: "
        "to know whether pre-training helps patients at large, take dozens of them and a study."
    )


def _apart(a: Sequence[float], b: Sequence[float]) -> int:
    """Return 1 when all of ``a`` lie above all of ``b``, -1 when below, else 0."""
    return (min(a) > max(b)) - (max(a) < min(b))


def draw(
    path: Path,
    probed: Scores,
    curves: Curves,
    slices: Mapping[str, tuple[Tensor, Tensor]],
) -> None:
    """Write the probe of each network, the curves of fine-tuning, and labeled slices of the patient as one picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 8), layout="constrained")
    grid = figure.add_gridspec(2, 12, height_ratios=(1, 1))
    left, right = figure.add_subplot(grid[0, :6]), figure.add_subplot(grid[0, 6:])
    for place, scores in enumerate(probed.values()):
        for shift, name in zip((-0.15, 0.15), _NAMES, strict=True):
            values = scores[name]
            spots = place + shift + np.linspace(-0.05, 0.05, len(values))
            left.plot(spots, values, "o", color=_COLORS[name], label=None if place else f"{name}, {len(values)} seeds")
    left.set_xticks(range(len(probed)), [f"{count} labeled voxels\nof each structure" for count in probed])
    left.set(xlim=(-0.6, len(probed) - 0.4), ylabel="mean recall", title="Frozen features: which structure is it?")
    left.legend()
    for name, runs in curves.items():
        for number, values in enumerate(runs):
            label = None if number else f"{name}, {len(runs)} seeds"
            right.plot(range(1, len(values) + 1), values, color=_COLORS[name], label=label)
    right.set(xlabel="epoch of fine-tuning", ylabel="mean Dice", title="Fine-tuned")
    right.legend()
    for number, (name, (image, classes)) in enumerate(slices.items()):
        axis = figure.add_subplot(grid[1, 3 * number : 3 * number + 3])
        gray = image.clamp(0, 1).numpy()[..., None].repeat(3, -1)
        mixed = np.where(classes.numpy()[..., None] > 0, 0.4 * gray + 0.6 * _STRUCTURES[classes.numpy()], gray)
        # (X, Y) in RAS, seen from the feet as radiologists do
        axis.imshow(mixed.transpose(1, 0, 2)[::-1, ::-1])
        axis.set_title(name)
        axis.axis("off")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _windows(image: Tensor) -> list[Tensor]:
    """Return batches of windows on a regular grid."""
    padded = image[None]
    missing = [p for size, w in zip(image.shape[:0:-1], WINDOW[::-1], strict=True) for p in (0, max(0, w - size))]
    padded = nn.functional.pad(padded, missing)[0]
    for axis, w in enumerate(WINDOW, start=1):
        padded = padded.unfold(axis, w, w)
    return list(padded.flatten(1, 3).transpose(0, 1).split(8))[:-1]


def _voxels(encoder: nn.Module, image: Tensor, label: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (N, D) and classes (N,) of as many voxels of each class, and the share of each class."""
    from monai_ssl.evaluation.voxel_probe import draw_points, voxel_features

    points = draw_points(label, _VOXELS, np.random.default_rng(seed))
    share = torch.bincount(label.flatten()).double() / label.numel()
    return voxel_features(encoder, image, points, WINDOW), label[tuple(points.T)], share
