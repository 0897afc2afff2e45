"""The linear head is that of scikit-learn on frozen features, and the linear segmenter that of interpolated maps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ignite.engine import Engine
from ignite.metrics import Accuracy
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from monai_ssl.networks import ConvEncoder, EncoderClassifier, LinearSegmenter
from monai_ssl.tasks import linear_probe
from monai_ssl.tasks.linear_probe import LinearProbe


def classes_by_brightness(count, seed, classes=3):
    """Images whose class shifts their brightness a little."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    images = rng.random((count, 1, 16, 16)).astype(np.float32) + 0.15 * labels[:, None, None, None]
    return [{"image": torch.from_numpy(x).float(), "label": int(y)} for x, y in zip(images, labels, strict=True)]


def evaluator(network, cases):
    compare = lambda output: (torch.stack([x["pred"] for x in output]), torch.tensor([x["label"] for x in output]))  # noqa: E731
    return SupervisedEvaluator(
        "cpu", DataLoader(Dataset(cases), batch_size=4), network, key_val_metric={"accuracy": Accuracy(compare)}
    )


def fitted(network, training, validation, **more):
    trainer = Engine(lambda *_: pytest.fail("a probe makes no step"))
    LinearProbe(network, Dataset(training), evaluator(network, validation), **more).attach(trainer)
    trainer.run([0], max_epochs=3)


@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_the_head_is_that_of_scikit_learn(strength, monkeypatch):
    monkeypatch.setattr(linear_probe, "STRENGTHS", (strength,))
    torch.manual_seed(0)
    network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 3).eval()
    training, test = classes_by_brightness(30, 0), classes_by_brightness(12, 1)
    fitted(network, training, test)
    with torch.no_grad():
        x, z = (network.encoder.pooled(torch.stack([case["image"] for case in part])) for part in (training, test))
        scores = network(torch.stack([case["image"] for case in test])).softmax(1)
    scale = StandardScaler().fit(x.double())
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(
        scale.transform(x.double()), [case["label"] for case in training]
    )
    assert scores.numpy() == pytest.approx(theirs.predict_proba(scale.transform(z.double())), abs=1e-4)


def test_validation_cases_choose_the_penalty(monkeypatch):
    torch.manual_seed(0)
    network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 3).eval()
    training, validation = classes_by_brightness(12, 0), classes_by_brightness(60, 1)
    alone = {}
    for strength in linear_probe.STRENGTHS:
        with monkeypatch.context() as patch:
            patch.setattr(linear_probe, "STRENGTHS", (strength,))
            fitted(network, training, validation)
            alone[strength] = evaluator(network, validation)
            alone[strength].run()
    scores = [one.state.metrics["accuracy"] for one in alone.values()]
    fitted(network, training, validation)
    chosen = evaluator(network, validation)
    chosen.run()
    assert chosen.state.metrics["accuracy"] == max(scores) > min(scores)
    fitted(network, training, validation, higher_is_better=False)
    chosen.run()
    assert chosen.state.metrics["accuracy"] == min(scores)


def test_of_equally_good_penalties_the_strongest_is_taken():
    torch.manual_seed(0)
    network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2).eval()
    cases = [{"image": torch.rand(1, 16, 16) + 20 * (i % 2), "label": i % 2} for i in range(8)]
    fitted(network, cases, cases)
    chosen = network.head.weight.detach().clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_probe, "STRENGTHS", linear_probe.STRENGTHS[:1])
        fitted(network, cases, cases)
    assert torch.equal(chosen, network.head.weight) and chosen.abs().sum() > 0


def test_a_linear_segmenter_reads_interpolated_maps():
    torch.manual_seed(0)
    network = LinearSegmenter(ConvEncoder(3, widths=(2, 4)), 3).eval()
    x = torch.rand(2, 1, 8, 8, 12)
    maps = [F.interpolate(f, x.shape[2:], mode="trilinear", align_corners=False) for f in network.encoder(x)]
    assert torch.allclose(network(x), network.head(torch.cat(maps, 1)), atol=1e-6)


def bright_cubes():
    """Two images in which 64 of 4,096 voxels are bright and of another class."""
    cases = []
    for seed in range(2):
        image = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(seed))
        label = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
        label[:, 4:8, 8:12, 4:8] = 1
        cases.append({"image": image + 3 * label, "label": label})
    return cases


def test_voxels_are_told_apart_and_the_frequency_of_classes_is_kept(monkeypatch):
    """As many are drawn of both classes, but a voxel that says nothing is of the frequent one."""
    torch.manual_seed(0)
    network = LinearSegmenter(ConvEncoder(3, widths=(16, 8)), 3).eval()
    cases = bright_cubes()
    monkeypatch.setattr(linear_probe, "STRENGTHS", (10.0,))
    fitted(network, cases, [], roi_size=(16, 16, 16), voxels=64)
    with torch.no_grad():
        logits = network(torch.stack([case["image"] for case in cases]))
    found = logits.argmax(1)
    truth = torch.stack([case["label"][0] for case in cases])
    dice = 2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + (truth == 1).sum())
    assert dice > 0.7 and set(found.unique().tolist()) == {0, 1}
    assert (logits[:, 2] < logits[:, :2].amin(1) - 100).all()  # of class 2 there was no voxel


def test_where_the_metric_weighs_classes_alike_their_frequency_is_left_out(monkeypatch):
    monkeypatch.setattr(linear_probe, "STRENGTHS", (1.0,))
    torch.manual_seed(0)
    network = LinearSegmenter(ConvEncoder(3, widths=(16, 8)), 2).eval()
    bias = {}
    for balanced in (False, True):
        fitted(network, bright_cubes(), [], roi_size=(16, 16, 16), voxels=64, balanced=balanced)
        bias[balanced] = network.head.bias.detach().clone()
    # 64 voxels are drawn of each class and case, of 4,032 and of 64
    assert (bias[False] - bias[True]).tolist() == pytest.approx([np.log(4032 / 64), 0.0], abs=1e-5)


def test_other_networks_and_single_classes_are_refused():
    with pytest.raises(ValueError, match="which Linear has not"):
        fitted(torch.nn.Linear(1, 1), [], [])
    network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 3)
    with pytest.raises(ValueError, match="at least two classes"):
        fitted(network, classes_by_brightness(4, 0, classes=1), [])
