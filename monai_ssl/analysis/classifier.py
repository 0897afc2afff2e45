"""A classifier to look into: the fine-tuned one of a run, or a linear one on its frozen encoder."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monai_ssl.analysis.features import batches, networks, pooled_features
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation.probes import fit_logistic
from monai_ssl.networks import Encoder, EncoderClassifier
from monai_ssl.networks.modes import device_of, evaluating

_TEST_SHARE = 4


@dataclass(frozen=True)
class Classifiers:
    """Classifiers of the same images by name, the one of the run first.

    Args:
        networks: logits (B, K) of images in [0, 1].
        classes: names of the logits.
        tested: (N,) which images of the set they were not fitted on.
        said: where they come from, in a sentence.
        multilabel: whether each class is decided on its own.
    """

    networks: dict[str, nn.Module]
    classes: tuple[str, ...]
    tested: Tensor
    said: str
    multilabel: bool = False


def classifiers_of(run: TrainedRun, shown: ImageSet | None, seed: int = 0) -> Classifiers:
    """Return the classifier of a fine-tuned run; of a pre-training linear ones, trained and untrained.

    Args:
        run: whose classifier, or whose encoder.
        shown: images with classes, for linear ones; a quarter of the patients is left to be looked at.
        seed: of that quarter.

    Raises:
        ValueError: when the run has no classifier and the images no classes.
    """
    if run.classifier is not None:
        everything = torch.ones(len(shown) if shown is not None else 0, dtype=torch.bool)
        said = "The classifier is that of the fine-tuning; whether it was trained on these images is for you to know."
        return Classifiers({"fine-tuned": run.classifier}, run.classes, everything, said, run.multilabel)
    if shown is None or shown.classes is None or len(shown.classes.unique()) < 2:
        raise ValueError(
            "This run has no classifier to look into, so that a linear one is fitted on its frozen encoder; for that "
            "--gradcam needs images of two classes or more: class folders, or a table with a column `label`."
        )
    tested = _tested(shown, seed)
    encoders = networks(run, shown)
    fitted: dict[str, nn.Module] = {f"linear on {n}": linear_classifier(e, shown, ~tested) for n, e in encoders.items()}
    said = (
        f"The run has no classifier: a linear one was fitted on its frozen encoder, on {int((~tested).sum())} images; "
        f"what is shown comes from the {int(tested.sum())} images of other patients."
    )
    return Classifiers(fitted, shown.names, tested, said)


def linear_classifier(encoder: Encoder, shown: ImageSet, fitted: Tensor) -> EncoderClassifier:
    """Return logistic regression on the frozen encoder as one network, fitted on the images that ``fitted`` marks."""
    assert shown.classes is not None
    x = pooled_features(encoder, shown)[fitted].double()
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 1e-12, std, torch.ones_like(std))
    weight, bias = fit_logistic((x - mean) / std, shown.classes[fitted])
    weight = weight / std[:, None]
    network = EncoderClassifier(copy.deepcopy(encoder), len(shown.names), dropout=0.0)
    with torch.no_grad():
        network.head.weight.zero_()
        # a class that no fitted image has is never decided for
        network.head.bias.fill_(-1e4)
        network.head.weight[: weight.shape[1]].copy_(weight.T)
        network.head.bias[: weight.shape[1]].copy_(bias - mean @ weight)
    return network.to(device_of(encoder)).eval()


@torch.no_grad()
def probabilities(look: Classifiers, name: str, shown: ImageSet) -> Tensor:
    """Return the probabilities (N, K) that one of the classifiers gives all images."""
    network = look.networks[name]
    device = device_of(network)
    with evaluating(network):
        logits = torch.cat([network(some.to(device)).float().cpu() for some in batches(shown)])
    return logits.sigmoid() if look.multilabel else logits.softmax(1)


def _tested(shown: ImageSet, seed: int) -> Tensor:
    names = shown.patients.unique()
    order = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]
    return torch.isin(shown.patients, order[: max(1, len(names) // _TEST_SHARE)])
