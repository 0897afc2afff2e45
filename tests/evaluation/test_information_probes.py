import pytest
import torch

from monai_ssl.evaluation import position_probe, rotation_probe
from monai_ssl.networks import ConvEncoder, Encoder


class Moments(Encoder):
    """Keeps where the brightness lies in a window (knows rotations) or what its voxels say (knows positions)."""

    def __init__(self, spatial_dims, channels=1):
        super().__init__()
        self.spatial_dims, self.in_channels = spatial_dims, channels
        self.channels, self.strides = (channels * (spatial_dims + 1),), (1,)
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        axes = [torch.linspace(-1, 1, s).view(-1, *[1] * (x.ndim - 3 - i)) for i, s in enumerate(x.shape[2:])]
        return [torch.cat([x, *(x * axis for axis in axes)], 1)]


class Average(Moments):
    def forward(self, x):
        return [torch.cat([x, *[0 * x] * self.spatial_dims], 1)]


def upright(n, shape, seed=0):
    """Images that grow brighter along each axis, at another rate along each."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.linspace(0, 2**i, s) for i, s in enumerate(shape)], indexing="ij")
    return [(sum(axes) + 0.1 * torch.randn(*shape, generator=generator))[None] for _ in range(n)]


def coordinates(n, shape, seed=0):
    """A channel for each axis that tells the place of a voxel, and starts elsewhere in each image."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(*[torch.arange(float(s)) for s in shape], indexing="ij")) / shape[0]
    return [grid + 0.3 * torch.rand(len(shape), *[1] * len(shape), generator=generator) for _ in range(n)]


@pytest.mark.parametrize(("shape", "labels"), [((8, 8, 8), 10), ((8, 8), 4), ((8, 6), 2), ((8, 8, 4), 6)])
def test_a_representation_of_places_knows_rotations_one_without_does_not(shape, labels):
    train, test = upright(6, shape), upright(4, shape, 1)
    knows = rotation_probe(Moments(len(shape)), train, test)
    assert knows == {"accuracy": 1.0, "balanced_accuracy": 1.0, "chance": pytest.approx(1 / labels)}
    ignorant = rotation_probe(Average(len(shape)), train, test)
    assert ignorant["accuracy"] < 2.5 / labels


def test_images_without_an_upper_side_are_at_chance():
    noise = [torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(60)]
    assert rotation_probe(Moments(2), noise[:30], noise[30:])["accuracy"] == pytest.approx(0.25, abs=0.12)


@pytest.mark.parametrize(("shape", "directions"), [((40, 40), 8), ((36, 36, 36), 26)])
def test_a_representation_of_coordinates_knows_relative_positions(shape, directions):
    cube = (6,) * len(shape)
    train, test = coordinates(8, shape), coordinates(4, shape, 1)
    encoder = Average(len(shape), len(shape))
    options = {"gap": 2, "jitter": 1, "pairs": 24, "strength": 1e4}
    knows = position_probe(encoder, train, test, cube, **options)
    assert knows["accuracy"] > 0.9 and knows["chance"] == pytest.approx(1 / directions)
    blind = [image.mean(tuple(range(1, image.ndim)), keepdim=True).expand_as(image) for image in (*train, *test)]
    assert position_probe(encoder, blind[:8], blind[8:], cube, **options)["accuracy"] < 3 / directions


def test_equal_seeds_cut_equal_cubes_and_test_cubes_are_others():
    images = coordinates(3, (40, 40))
    seen = []
    for seed in (0, 0, 1):
        encoder = Moments(2, 2)
        position_probe(encoder, images, images, (6, 6), pairs=2, seed=seed)
        seen.append(torch.cat(encoder.seen))
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])
    train, test = seen[0].chunk(2)
    assert not torch.equal(train, test) and not torch.equal(test, seen[2].chunk(2)[0])
    assert seen[0].shape == (2 * 2 * 3 * 2, 2, 6, 6)


def test_batches_do_not_matter_and_the_encoder_stays_as_it_was():
    torch.manual_seed(0)
    encoder = ConvEncoder(2, 1, (4, 8))
    encoder.stages[0].eval()
    modes = [m.training for m in encoder.modules()]
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    images = upright(5, (40, 40))
    for probe in (rotation_probe, lambda *a, **k: position_probe(*a, (8, 8), gap=1, jitter=2, **k)):
        first = probe(encoder, images[:3], images[3:], batch_size=1)
        assert first == probe(encoder, images[:3], images[3:], batch_size=8)
    assert [m.training for m in encoder.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert all(p.grad is None for p in encoder.parameters())


def test_what_cannot_be_asked_is_refused():
    encoder, images = Moments(2), upright(2, (8, 8))
    with pytest.raises(ValueError, match=r"all of one shape, got 2 and 1 of shapes \[\(1, 6, 8\), \(1, 8, 8\)\]"):
        rotation_probe(encoder, images, upright(1, (6, 8)))
    with pytest.raises(ValueError, match=r"others to be asked about, .* got 2 and 0"):
        rotation_probe(encoder, images, [])
    with pytest.raises(ValueError, match="got 0 and 2"):
        position_probe(encoder, [], images, (2, 2))
    with pytest.raises(ValueError, match=r"needs a view of 33 x 33 voxels, got 8 x 8"):
        position_probe(encoder, images, images, (5, 5))
    assert encoder.training
