"""MAE on a vision transformer: what the encoder sees, the loss of masked tokens, and which voxels a token has."""

import itertools

import pytest
import torch

from monai_ssl.methods import MAEViT
from monai_ssl.networks import ConvEncoder, VisionTransformer, join_patches, split_patches
from monai_ssl.transforms import RandVisibleBlocksd

SMALL: dict[str, dict] = {
    "pretrain": {"width": 24, "depth": 2, "heads": 2},
    "pretrain_2d": {"width": 8, "depth": 2, "heads": 2, "patch": 16},
}
MOVES = {"restoration": ("network.",)}


def make(window=(32, 16, 24), channels=1, **options):
    torch.manual_seed(0)
    encoder = VisionTransformer(len(window), channels, window_size=window, width=24, depth=2, heads=2)
    return MAEViT(encoder, **options)


def batch(window=(32, 16, 24), channels=1):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *window, generator=g)
    count = torch.Size(side // 8 for side in window).numel()
    tokens = torch.stack([torch.randperm(count, generator=g)[: count // 4].sort().values for _ in range(2)])
    return {"view": x, "target": x * 3 + 1, "tokens": tokens}


def cells(window):
    """Slices of the tokens, in the order of their numbers."""
    for corner in itertools.product(*(range(0, side, 8) for side in window)):
        yield tuple(slice(start, start + 8) for start in corner)


@pytest.mark.parametrize("window", [(32, 16, 24), (16, 24)])
@pytest.mark.parametrize("normalize", [True, False])
def test_loss_is_the_mean_square_error_of_masked_tokens(window, normalize):
    method, data = make(window, 2, normalize=normalize), batch(window, 2)
    restored = method.network(data["view"], data["tokens"]).double()
    samples = []
    for sample in range(2):
        errors = []
        for number, cell in enumerate(cells(window)):
            if number in data["tokens"][sample]:
                continue
            true = data["target"][(sample, slice(None), *cell)].flatten().double()
            true = (true - true.mean()) / (true.var() + 1e-6).sqrt() if normalize else true
            errors.append((restored[sample, number] - true).square().mean())
        samples.append(sum(errors) / len(errors))
    assert method.losses(data)["restoration"].item() == pytest.approx(sum(samples).item() / 2, rel=1e-5)


def test_the_mean_of_each_token_costs_one_and_flat_tokens_cost_nothing():
    method, data = make(), batch()
    for p in method.network.head.parameters():
        p.data.zero_()
    assert method.losses(data)["restoration"].item() == pytest.approx(511 / 512, rel=1e-4)  # the unbiased variance
    assert method.losses({**data, "target": torch.full_like(data["target"], 5.0)})["restoration"] == 0
    assert method.metrics(data)["explained"].item() == pytest.approx(0, abs=1e-4)


def test_masked_voxels_never_reach_the_network_and_visible_ones_are_not_asked_for():
    method, data = make(), batch()
    first = method.network(data["view"], data["tokens"])
    seen = []
    method.encoder.transformer.blocks[0].register_forward_hook(lambda _, args, out: seen.append(tuple(args[0].shape)))
    for sample, (number, cell) in itertools.product(range(2), enumerate(cells((32, 16, 24)))):
        changed = data["view"].clone()
        changed[(sample, 0, *cell)] += 1
        same = torch.equal(method.network(changed, data["tokens"]), first)
        assert same == (number not in data["tokens"][sample])
        aimed = data["target"].clone()
        aimed[(sample, 0, *cell)] = torch.rand(8, 8, 8)
        same = method.losses({**data, "target": aimed})["restoration"] == method.losses(data)["restoration"]
        assert bool(same) == (number in data["tokens"][sample])
    assert set(seen) == {(2, 6, 24)}  # a quarter of 24


@pytest.mark.parametrize("size", [(32, 16, 24), (16, 24)])
def test_voxels_of_a_token_are_those_at_its_place(size):
    """With a volume of coordinates, not cubic: folding back by other axes scrambles it."""
    axes = torch.meshgrid(*(torch.arange(side) for side in size), indexing="ij")
    where = torch.stack(axes)[None]
    split = split_patches(where, 8)
    for number, cell in enumerate(cells(size)):
        assert torch.equal(split[0, number], where[(0, slice(None), *cell)].flatten())
    assert torch.equal(join_patches(split, [side // 8 for side in size], 8), where)


def test_pictures_show_the_restored_tokens_at_their_places():
    for normalize in (True, False):
        method, data = make(normalize=normalize), batch()
        sheet = method.panels(data)
        restored = method.network(data["view"], data["tokens"])
        for sample, (number, cell) in itertools.product(range(2), enumerate(cells((32, 16, 24)))):
            place = (sample, 0, *cell)
            true, made = data["target"][place], restored[sample, number].reshape(8, 8, 8)
            wanted = made * true.std() + true.mean() if normalize else made
            visible = number in data["tokens"][sample]
            torch.testing.assert_close(sheet["restored"][place], wanted, rtol=1e-4, atol=1e-4)
            assert torch.equal(sheet["merged"][place], true if visible else sheet["restored"][place])
            assert torch.equal(sheet["input"][place], data["view"][place] * visible)


def test_the_view_numbers_the_tokens_that_it_shows():
    view = RandVisibleBlocksd("view", block=(8, 4), mask_ratio=0.75, numbers="tokens").set_random_state(0)
    out = view.batch({"view": torch.rand(3, 1, 24, 16)})
    shown = [[i for i, cell in enumerate(m[0, ::8, ::4].flatten()) if cell] for m in out["visible"]]
    assert out["tokens"].tolist() == shown and out["tokens"].shape == (3, 3) and shown[0] != shown[1]


def test_another_encoder_is_refused():
    with pytest.raises(ValueError, match=r"ConvEncoder cannot: take .*VisionTransformer.* the method `mae`"):
        MAEViT(ConvEncoder(2, widths=(4, 8)))
