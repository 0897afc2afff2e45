import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_ssl.evaluation import voxel_probe
from monai_ssl.evaluation.voxel_probe import draw_points, voxel_features


class Pyramid(nn.Module):
    """The image itself and a coarser copy of it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = x * self.scale
        return [x, F.avg_pool3d(x, 2)]


class Blind(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return [torch.rand(x.shape, generator=torch.Generator().manual_seed(int(1e6 * x.mean()))) * self.scale]


def coordinates(shape):
    grid = torch.meshgrid(*[torch.arange(float(s)) for s in shape], indexing="ij")
    return torch.stack(grid)


def patient(seed, shape=(24, 20, 18)):
    g = torch.Generator().manual_seed(seed)
    label = torch.zeros(shape, dtype=torch.long)
    label[4:12, 4:12, 4:12] = 1
    label[14:20, 10:16, 8:14] = 2
    return 0.3 * label[None] + 0.05 * torch.randn((1, *shape), generator=g), label


def test_it_is_the_test_patients_that_are_asked_about():
    renamed = [(image, (label + 1) % 3) for image, label in (patient(5), patient(6))]
    result = voxel_probe(Pyramid(), [patient(1)], renamed, points_per_class=50, roi_size=(16, 12, 10))
    assert result["linear/macro"] < 0.1 and result["knn/macro"] < 0.1


@pytest.mark.parametrize("roi", [(8, 8, 8), (16, 12, 10), (32, 32, 32)])
def test_features_are_read_where_the_voxel_is(roi):
    image = coordinates((20, 17, 11))
    points = torch.stack([torch.randint(0, s, (50,)) for s in (20, 17, 11)], 1)
    found = voxel_features(Pyramid(), image, points, roi)
    torch.testing.assert_close(found[:, :3], points.float(), atol=1e-4, rtol=0)


def test_coarse_features_are_interpolated_between_cell_centers():
    image = coordinates((16, 16, 16))
    points = torch.tensor([[5, 8, 3], [6, 7, 9]])
    found = voxel_features(Pyramid(), image, points, (16, 16, 16))
    # the coordinate is linear, so interpolating its means gives it back
    torch.testing.assert_close(found[:, 3:], points.float(), atol=1e-4, rtol=0)


def test_points_are_balanced_within_their_class_and_seeded():
    _, label = patient(0)
    points = draw_points(label, 50, np.random.default_rng(1))
    classes = label[tuple(points.T)]
    assert torch.bincount(classes).tolist() == [50, 50, 50]
    assert len(points.unique(dim=0)) == 150
    assert torch.equal(points, draw_points(label, 50, np.random.default_rng(1)))
    assert len(draw_points(label, 10_000, np.random.default_rng(1))) == label.numel()


def test_informative_features_beat_blind_ones():
    train, test = [patient(s) for s in range(2)], [patient(s) for s in (7, 8)]
    options = {"points_per_class": 60, "roi_size": (16, 16, 16)}
    seen, blind = (voxel_probe(encoder, train, test, **options) for encoder in (Pyramid(), Blind()))
    assert seen["linear/macro"] > 0.9 and seen["knn/macro"] > 0.9
    assert blind["linear/macro"] < 0.5 and blind["knn/macro"] < 0.5
    classes = [seen[f"knn/class_{c}"] for c in range(3)]
    assert seen["knn/macro"] == pytest.approx(sum(classes) / 3)


def test_the_encoder_is_left_as_it_was():
    encoder = nn.Sequential(nn.BatchNorm3d(1), Pyramid())
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    voxel_probe(encoder, [patient(0)], [patient(1)], points_per_class=10, roi_size=(16, 16, 16))
    assert encoder.training and encoder[0].training
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_refusals():
    image, label = patient(0)
    with pytest.raises(ValueError, match=r"Image \(24, 20, 18\) and label \(23, 20, 18\) differ"):
        voxel_probe(Pyramid(), [(image, label[1:])], [(image, label)])
    with pytest.raises(ValueError, match="at least two classes"):
        voxel_probe(Pyramid(), [(image, 0 * label)], [(image, label)], roi_size=(16, 16, 16))
    with pytest.raises(ValueError, match="No point was given"):
        voxel_features(Pyramid(), image, torch.empty(0, 3, dtype=torch.long), (16, 16, 16))
