"""Each instrument on a case whose answer is known."""

import math

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.analysis.batch_norm import batch_norm_section
from monai_ssl.analysis.boxes import Finding, boxes_in
from monai_ssl.analysis.classifier import classifiers_of, linear_classifier, probabilities
from monai_ssl.analysis.embedding import embedding_section
from monai_ssl.analysis.features import pooled_features
from monai_ssl.analysis.grad_cam import grad_cam_section
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.analysis.localization import localization_section
from monai_ssl.analysis.probes import probes_section
from monai_ssl.analysis.similarity import cka_section
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.evaluation import recollect_bn
from monai_ssl.evaluation.probes import linear_scores
from monai_ssl.networks import ConvEncoder, Encoder
from monai_ssl.transfer import ModelCard

SIDE = {2: (32, 24), 3: (16, 16, 24)}


class Brightness(Encoder):
    """Brightness and darkness of each cell of 4 voxels: what every instrument must find is then known."""

    in_channels, channels, strides = 1, (2,), (4,)

    def __init__(self, dims):
        super().__init__()
        self.spatial_dims = dims

    def forward(self, x):
        pool = F.avg_pool2d if self.spatial_dims == 2 else F.avg_pool3d
        return [torch.cat([pool(x, 4), 1 - pool(x, 4)], dim=1)]


class Blind(Brightness):
    """Sees the same in every image."""

    def forward(self, x):
        return [0 * maps for maps in super().forward(x)]


def run_of(encoder, untrained, tmp_path, **more):
    return TrainedRun(tmp_path / "run", ModelCard("known", "paper", {}, "image"), encoder, untrained, **more)


def spots(dims, count=24):
    """Dark images with one bright block; class 1 has it, class 0 a faint one. Two images a patient."""
    generator = torch.Generator().manual_seed(0)
    images = 0.02 * torch.rand(count, 1, *SIDE[dims], generator=generator)
    corners = [
        [4 * int(v) for v in torch.randint(1, min(SIDE[dims]) // 4 - 2, (dims,), generator=generator)]
        for _ in range(count)
    ]
    for i, at in enumerate(corners):
        images[(i, 0, *(slice(a, a + 8) for a in at))] += 0.9 if i % 4 > 1 else 0.1
    classes = torch.tensor([int(i % 4 > 1) for i in range(count)])
    shown = ImageSet(
        images,
        torch.arange(count) // 2,
        classes,
        ("faint", "bright"),
        None,
        torch.ones(count, dims),
        torch.arange(count),
        "a test",
    )
    return shown, [
        [Finding("bright" if i % 4 > 1 else "faint", (*at, *(a + 8 for a in at)))] for i, at in enumerate(corners)
    ]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_is_like_itself_and_less_like_one_with_other_weights(dims, tmp_path):
    torch.manual_seed(0)
    shown, _ = spots(dims)
    run = run_of(ConvEncoder(dims, 1, (4, 8)), ConvEncoder(dims, 1, (4, 8)), tmp_path)
    varied = ImageSet(
        **{
            **vars(shown),
            "images": torch.rand_like(shown.images) ** torch.linspace(0.2, 3, 24)[(...,) + (None,) * (dims + 1)],
        }
    )
    numbers = cka_section(run, run, varied).numbers
    assert numbers["stage_by_stage"] == pytest.approx([1, 1], abs=1e-6)
    assert all(value < 0.999 for value in numbers["untrained"])
    other = run_of(Brightness(dims), Brightness(dims), tmp_path)
    matrix = cka_section(run, other, shown).numbers["matrix"]
    assert [len(line) for line in matrix] == [1, 1]


@pytest.mark.parametrize("dims", [2, 3])
def test_localization_finds_the_bright_block_and_a_linear_classifier_is_logistic_regression(dims, tmp_path):
    shown, findings = spots(dims)
    run = run_of(Brightness(dims), Blind(dims), tmp_path)
    look = classifiers_of(run, shown)
    fitted = ~look.tested
    assert set(shown.patients[look.tested].tolist()).isdisjoint(shown.patients[fitted].tolist())
    x = pooled_features(run.encoder, shown)
    expected = linear_scores(x[fitted], shown.classes[fitted], x).float()
    network = next(iter(look.networks.values()))
    torch.testing.assert_close(network(shown.images), expected, atol=1e-4, rtol=1e-4)
    assert probabilities(look, "linear on trained", shown).argmax(1).tolist() == shown.classes.tolist()
    boxes, names = boxes_in(shown, findings)
    numbers = localization_section(look, shown, boxes, names).numbers["bright"]
    assert numbers["looked_for"] == "bright" and numbers["images"] == 12
    # the map is interpolated from cells of 4 voxels, so that edges are soft
    assert numbers["pointing_hit"] == 1 and numbers["energy"] > 0.6 and numbers["iou"] > 0.5
    assert numbers["box_share"] == pytest.approx(8**dims / math.prod(SIDE[dims]))
    scores = grad_cam_section(look, shown)
    assert scores.numbers["accuracy"]["linear on trained"] == 1 and len(scores.pictures) == 1


def test_of_a_fine_tuned_run_its_own_classifier_is_asked(tmp_path):
    shown, _ = spots(2)
    network = linear_classifier(Brightness(2), shown, torch.ones(len(shown), dtype=torch.bool))
    run = run_of(network.encoder, Blind(2), tmp_path, classifier=network, classes=("faint", "bright"))
    assert classifiers_of(run, None).networks == {"fine-tuned": network}
    bare = run_of(Brightness(2), Blind(2), tmp_path)
    with pytest.raises(ValueError, match=r"has no classifier to look into.*--gradcam needs images of two classes"):
        classifiers_of(bare, None)


@pytest.mark.parametrize("dims", [2, 3])
def test_separable_classes_are_told_by_what_sees_them_only(dims, tmp_path):
    shown, _ = spots(dims)
    masks = (shown.images[:, 0] > 0.5).long()
    shown = ImageSet(**{**vars(shown), "masks": masks})
    numbers = probes_section(run_of(Brightness(dims), Blind(dims), tmp_path), shown).numbers
    assert numbers["trained"]["classes, linear"] == 1 and numbers["trained"]["classes, kNN"] == 1
    assert numbers["untrained"]["classes, linear"] <= 0.5
    assert numbers["trained"]["label maps, linear"] > 0.9 > 0.6 > numbers["untrained"]["label maps, linear"]
    # averages over the whole image do not change when it is turned
    assert numbers["trained"]["rotation"] == pytest.approx(numbers["chance"]["rotation"], abs=0.15)


def test_what_an_image_is_too_small_for_is_said(tmp_path):
    torch.manual_seed(0)
    shown, _ = spots(2)
    section = probes_section(run_of(ConvEncoder(2, 1, (2, 4, 8, 16)), Blind(2), tmp_path), shown)
    assert any("relative position needs images of 42 voxels" in line for line in section.said)
    assert "relative position" not in section.numbers["trained"] and "rotation" in section.numbers["trained"]


@pytest.mark.parametrize("dims", [2, 3])
def test_statistics_of_the_images_they_were_collected_from_are_no_distance_away(dims, tmp_path):
    torch.manual_seed(0)
    shown, _ = spots(dims)
    encoder = ConvEncoder(dims, 1, (4, 8))
    recollect_bn(encoder, [shown.images])
    run, fresh = run_of(encoder, Blind(dims), tmp_path), run_of(ConvEncoder(dims, 1, (4, 8)), Blind(dims), tmp_path)
    found = batch_norm_section(run, shown, fresh).numbers
    assert found["these images"]["total"] == pytest.approx(0, abs=1e-6) and found["the other run"]["total"] > 1
    assert batch_norm_section(run, None, None) is None
    assert batch_norm_section(run_of(Brightness(dims), Blind(dims), tmp_path), shown, None) is None


def test_an_embedding_of_equal_features_is_a_collapse(tmp_path):
    shown, _ = spots(2)
    section = embedding_section(run_of(Brightness(2), Brightness(2), tmp_path), shown)
    assert section.numbers["trained"]["variance_in_the_plane"] == pytest.approx(1) and len(section.pictures) == 2
    assert section.numbers["trained"] == section.numbers["untrained"]
    with pytest.raises(ValueError, match="An embedding needs 4 images at least, got 2"):
        few = {k: v[:2] if isinstance(v, torch.Tensor) else v for k, v in vars(shown).items()}
        embedding_section(run_of(Brightness(2), Brightness(2), tmp_path), ImageSet(**few))
