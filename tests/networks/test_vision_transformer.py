"""Vision transformer: Primus' parameter counts, where tokens lie, what their places do, windows of other sizes."""

import itertools
import re
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import SegResNet
from torch import nn

from monai_ssl.engines.recomputation import recompute_blocks
from monai_ssl.networks import (
    ConvEncoder,
    MonaiEncoder,
    Primus,
    ResidualEncoder,
    RestorationUNet,
    VisionTransformer,
    with_layer_decay,
)
from monai_ssl.networks.vit.block import Attention
from monai_ssl.networks.vit.encoder import SIZES
from monai_ssl.networks.vit.rotary import rotary_angles, rotate
from monai_ssl.tasks.networks import check_sizes
from monai_ssl.transfer import load_weights

SMALL = {"width": 24, "depth": 3, "heads": 2}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def vit(window=(32, 16, 24), **options) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(len(window), window_size=window, **SMALL, **options).eval()


@pytest.mark.parametrize(
    ("size", "whole"), [("S", 26_268_285), ("B", 97_958_065), ("M", 151_786_529), ("L", 331_823_761)]
)
def test_sizes_of_primus(size, whole):
    with torch.device("meta"):
        network = Primus(VisionTransformer(size=size))
    assert count(network) == whole
    if size == "M":
        encoder = network.encoder
        assert (count(encoder.transformer), count(encoder.embedding)) == (150_554_304, 443_232)
        assert count(network) - count(encoder) == 788_993
        assert encoder.transformer.blocks[0].mlp.gate.out_features == 2304
        assert network.decoder.channels == (112, 16)


@pytest.mark.parametrize("size", [(32, 16, 24), (16, 40, 8), (24, 16)])
def test_the_map_of_a_coordinate_volume_holds_the_coordinates_of_its_cells(size):
    """Reference code unrolls tokens in one order of axes and folds them back in another: scrambled unless cubic."""
    dims = len(size)
    encoder = VisionTransformer(dims, dims, window_size=size, absolute=False, **SMALL)
    with torch.no_grad():
        for block in encoder.transformer.blocks:
            block.scale1.zero_(), block.scale2.zero_()
        encoder.transformer.norm = nn.Identity()
        encoder.embedding.weight.zero_()
        encoder.embedding.weight[range(dims), range(dims)] = 1 / 8**dims  # the mean of a cell
        axes = [torch.arange(side, dtype=torch.float32) for side in size]
        where = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
        found = encoder(where)[0][0, :dims]
        for cell in itertools.product(*(range(side // 8) for side in size)):
            assert found[(slice(None), *cell)].tolist() == pytest.approx([8 * i + 3.5 for i in cell], rel=1e-5)


@pytest.mark.parametrize("grid", [(3, 4, 2), (4, 3)])
def test_rotary_attention_depends_on_how_far_apart_tokens_are_along_each_axis_and_on_nothing_else(grid):
    width = 4 * len(grid)
    angles = rotary_angles(grid, width).double()[None, None]
    q, k = torch.randn(2, width, dtype=torch.float32).unbind()
    tokens = angles.shape[2]
    turned = [rotate(v.expand(1, 1, tokens, width), angles.cos(), angles.sin())[0, 0] for v in (q, k)]
    logits = turned[0] @ turned[1].T
    places = list(itertools.product(*map(range, grid)))
    by_offset: dict[tuple, list[float]] = {}
    for i, j in itertools.product(range(tokens), repeat=2):
        offset = tuple(a - b for a, b in zip(places[i], places[j], strict=True))
        by_offset.setdefault(offset, []).append(logits[i, j].item())
    assert all(max(v) - min(v) < 1e-4 for v in by_offset.values())
    means = sorted(sum(v) / len(v) for v in by_offset.values())
    assert min(b - a for a, b in itertools.pairwise(means)) > 1e-6  # no two offsets alike
    assert by_offset[(0,) * len(grid)][0] == pytest.approx((q @ k).item(), abs=1e-4)


def test_rotary_angles_are_those_of_the_paper():
    """Two axes: the first half of the pairs turns by row / 10000^(i / pairs), the second by column."""
    angles = rotary_angles((2, 3), 12)
    for row, column in itertools.product(range(2), range(3)):
        wanted = [place / 10_000 ** (i / 3) for place in (row, column) for i in range(3)]
        assert angles[row * 3 + column].tolist() == pytest.approx(wanted, rel=1e-5)
    x = torch.randn(1, 1, 6, 12)
    pairs = torch.view_as_complex(x.unflatten(-1, (6, 2))) * torch.exp(1j * angles)
    torch.testing.assert_close(rotate(x, angles.cos(), angles.sin()), torch.view_as_real(pairs).flatten(-2))


def test_attention_is_the_softmax_of_scaled_products():
    torch.manual_seed(0)
    attention, x = Attention(8, 2).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    with torch.no_grad():
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            q, k, v = (layer(x)[..., part] for layer in (attention.query, attention.key, attention.value))
            heads.append((q @ k.transpose(1, 2) / 2).softmax(-1) @ v)
        wanted = attention.output(attention.norm(torch.cat(heads, -1)))
        torch.testing.assert_close(attention(x, None, None), wanted)


def test_visible_tokens_alone_are_what_the_encoder_sees():
    """The same as a loop over samples, of the tokens that are kept in their places; others do not matter."""
    encoder, x = vit(), torch.randn(2, 1, 32, 16, 24)
    kept = torch.stack([torch.randperm(24)[:7], torch.randperm(24)[:7]])
    seen = []
    encoder.transformer.blocks[0].register_forward_hook(lambda _, args, out: seen.append(args[0].shape))
    found = encoder.visible(x, kept)
    assert seen == [(2, 7, 24)]
    hidden = torch.ones(2, 24).scatter(1, kept, 0).reshape(2, 1, 4, 2, 3)
    hidden = hidden.repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4) > 0
    assert torch.equal(encoder.visible(torch.where(hidden, torch.tensor(7.0), x), kept), found)
    assert not torch.equal(encoder.visible(torch.where(hidden, x, torch.tensor(7.0)), kept), found)
    for sample in range(2):
        alone = encoder.visible(x[sample : sample + 1], kept[sample : sample + 1])
        torch.testing.assert_close(alone[0], found[sample])
    everything = torch.arange(24).expand(2, -1)
    torch.testing.assert_close(encoder.visible(x, everything).transpose(1, 2).reshape(2, 24, 4, 2, 3), encoder(x)[0])


@pytest.mark.parametrize(("rotary", "absolute"), [(True, False), (False, True), (False, False)])
def test_without_positions_tokens_are_a_set(rotary, absolute):
    encoder, x = vit(rotary=rotary, absolute=absolute), torch.randn(1, 1, 32, 16, 24)
    order = torch.tensor([1, 0, 3, 2])
    shuffled = x.unflatten(2, (4, 8))[:, :, order].flatten(2, 3)
    unknown = torch.allclose(encoder(shuffled)[0], encoder(x)[0][:, :, order], atol=1e-5)
    assert unknown == (not rotary and not absolute)


def test_positions_are_resized_for_other_windows_in_use_and_on_loading():
    encoder, other = vit((32, 16, 24)), vit((16, 32, 24))
    positions = encoder.transformer.positions
    assert torch.equal(encoder(torch.zeros(1, 1, 32, 16, 24))[0], vit()(torch.zeros(1, 1, 32, 16, 24))[0])
    with torch.no_grad():
        axes = torch.meshgrid(torch.arange(4.0), torch.arange(2.0), torch.arange(3.0), indexing="ij")
        positions[0, 0], positions[0, 1] = axes[0], axes[2]
    account = load_weights(other, {f"encoder.{name}": t for name, t in encoder.state_dict().items()})
    assert account.complete and list(account.resized) == ["transformer.positions"] and "resized" in account.table()
    # a place keeps its share of the window along each axis: 4 cells in 2 cells are means of neighbors
    assert other.transformer.positions[0, 0, :, 0, 0].tolist() == pytest.approx([0.5, 2.5])
    assert other.transformer.positions[0, 1, 0, 0].tolist() == pytest.approx([0, 1, 2])
    x = torch.randn(1, 1, 16, 32, 24)
    torch.testing.assert_close(encoder(x)[0], other(x)[0])
    with pytest.raises(ValueError, match="another width"):
        load_weights(VisionTransformer(3, window_size=(16,) * 3, width=36, depth=3, heads=2), encoder.state_dict())


def test_windows_and_sizes_that_it_cannot_take_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"cannot take images of \(30, 16, 27\).*divisible by 8.*\(32, 16, 24\)"):
        vit()(torch.zeros(1, 1, 30, 16, 27))
    with pytest.raises(ValueError, match=r"`roi_size`.*divisible by 8.*\[32, 16, 24\]"):
        check_sizes("roi_size", [30, 16, 27], vit())
    with pytest.raises(ValueError, match=r"3 multiples of 8.*\[32, 30, 16\]"):
        VisionTransformer(window_size=(32, 30, 16))
    with pytest.raises(ValueError, match="power of 2"):
        VisionTransformer(patch=6)
    with pytest.raises(ValueError, match=r"divisible by 12 \(2 heads, 2 x 3 axes\), got 20; try 24"):
        VisionTransformer(window_size=(16,) * 3, width=20, depth=1, heads=2)
    with pytest.raises(ValueError, match="decodes one map, and ResidualEncoder has 6"):
        Primus(ResidualEncoder())


def test_drop_path_skips_a_sample_in_training_only_and_more_in_later_blocks():
    encoder, x = vit(drop_path=1.0), torch.randn(3, 1, 32, 16, 24)
    rates = [block.drop_path.drop_prob for block in encoder.transformer.blocks]
    assert rates == [0, 0.5, 1]
    last = encoder.transformer.blocks[-1].train()
    tokens = torch.randn(3, 5, 24)
    assert torch.equal(last(tokens, None, None), tokens)
    middle = encoder.transformer.blocks[1].train()
    ways = {tuple((middle(tokens, None, None) != tokens).any(2).all(1).tolist()) for _ in range(40)}
    assert len(ways) > 2  # each sample by itself
    assert torch.equal(encoder.eval()(x)[0], encoder(x)[0])


@pytest.mark.parametrize("window", [(32, 16, 24), (24, 16)])
@pytest.mark.parametrize("network", [Primus, RestorationUNet])
def test_all_that_is_trained_gets_a_gradient_and_blocks_may_be_computed_again(network, window):
    unet, x = network(vit(window)), torch.randn(2, 1, *window)
    unet(x).square().sum().backward()
    assert [n for n, p in unet.named_parameters() if p.grad is None] == []
    before = unet(x)
    assert before.shape == x.shape and recompute_blocks(unet) == 3 and torch.equal(unet(x), before)


DECAYING = [
    vit(),
    ConvEncoder(2, widths=(4, 8, 16)),
    ResidualEncoder(2, widths=(2, 4)),
    MonaiEncoder(SegResNet(2, init_filters=8)),
]


@pytest.mark.parametrize("encoder", DECAYING, ids=lambda encoder: type(encoder).__name__)
def test_layer_decay_lowers_rates_from_the_last_layer_to_the_first(encoder):
    head = nn.Linear(2, 2)
    held = [*encoder.parameters(), *head.parameters()]
    groups = with_layer_decay([{"params": held, "weight_decay": 0.1}], encoder, 0.5)
    split = [p for group in groups for p in group["params"]]
    assert sorted(map(id, split)) == sorted(map(id, held)) and all(group["weight_decay"] == 0.1 for group in groups)
    rate = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert {rate[id(p)] for p in head.parameters()} == {1}
    depths = [{rate[id(p)] for p in layer} for layer in encoder.layers()]
    assert depths == [{0.5 ** (len(depths) - i)} for i in range(len(depths))] and len(depths) > 1
    if isinstance(encoder, VisionTransformer):
        assert (
            len(depths) == 4 and rate[id(encoder.transformer.positions)] == rate[id(encoder.embedding.weight)] == 1 / 16
        )
        assert rate[id(encoder.transformer.norm.weight)] == 0.5
    (same,) = with_layer_decay([{"params": held, "lr": 0.3}], encoder, 1)
    assert same["params"] == held and same["lr"] == 0.3
    assert {g["lr"] / g["lr_scale"] for g in with_layer_decay([{"params": held, "lr": 0.5}], encoder, 0.5)} == {0.5}
    with pytest.raises(ValueError, match="`decay` must be"):
        with_layer_decay([], encoder, 0)


def test_layer_decay_in_fine_tuning_by_one_override():
    """That of the pages of mae_vit and simmim, in the bundle of segmentation."""
    pages = Path(__file__).parents[2] / "bundles"
    (override,) = re.findall(r'--optimizer#params "(.*)"', (pages / "mae_vit/docs/README.md").read_text())
    parser = ConfigParser()
    parser.read_config(str(pages / "segmentation/configs/train.json"))
    network = {"_target_": "monai_ssl.networks.VisionTransformer", "window_size": [16, 16, 16], **SMALL}
    for key, value in {
        "encoder": network,
        "roi_size": [16, 16, 16],
        "device": "cpu",
        "lr": 1.0,
        "head_lr": 8.0,
    }.items():
        parser[key] = value
    parser["optimizer#params"] = override
    groups = parser.get_parsed_content("optimizer").param_groups
    assert [group["lr"] for group in groups] == [0.75**4, 0.75**3, 0.75**2, 0.75, 8.0]


@pytest.mark.parametrize(("size", "width"), [("S", 384), ("B", 768), ("M", 864), ("L", 1024)])
def test_all_sizes_build_in_2d_with_heads_that_two_axes_share(size, width):
    with torch.device("meta"):
        encoder = VisionTransformer(2, size=size, window_size=(224, 224), patch=16)
        volumes = VisionTransformer(3, size=size)
    assert encoder.channels == (width,) and volumes.channels == (SIZES[size][0],)
