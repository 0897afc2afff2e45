"""Loading accounts for every tensor; PCRLv2-15 of docs/properties.md."""

import argparse
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monai_ssl.networks import ConvEncoder, PyramidUNet, ResNetEncoder, SkipUNet, batch_to_group_norm
from monai_ssl.transfer import ModelCard, export_weights, inflate_channels, load_weights

WIDTHS = (16, 32)


def encoder(channels=1, widths=WIDTHS, seed=None):
    if seed is not None:
        torch.manual_seed(seed)
    net = ConvEncoder(3, channels, widths)
    if seed is not None:
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm3d):
                layer.weight.data.uniform_(0.5, 2)
                layer.bias.data.uniform_(-1, 1)
                layer.running_mean.uniform_(-1, 1)
    return net


def equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def card(**entries):
    return ModelCard(method="m", preset="paper", encoder={"widths": list(WIDTHS)}, modality="ct", **entries)


def test_published_weights_fill_the_encoder_and_touch_nothing_else(tmp_path):
    source = PyramidUNet(encoder(seed=1))
    path = export_weights(source, tmp_path / "w.safetensors", card())
    target = SkipUNet(encoder(seed=2), 3)
    decoder = {k: v.clone() for k, v in target.decoder.state_dict().items()}
    account = load_weights(target, path)
    assert equal(target.encoder, source.encoder) and account.complete and account.share == 1
    assert len(account.loaded) == len(source.encoder.state_dict()) and account.card.method == "m"
    assert all(torch.equal(decoder[k], v) for k, v in target.decoder.state_dict().items())
    assert f"encoder from {path}: 100% of 28 tensors" in account.table()


def test_default_encoder_has_the_56_tensors_of_the_paper(tmp_path):
    path = export_weights(PyramidUNet(ConvEncoder()), tmp_path / "w.safetensors", card())
    assert len(load_weights(SkipUNet(ConvEncoder(), 2), path).loaded) == 56


@pytest.mark.parametrize("container", ["method", "model", "state_dict", None])
@pytest.mark.parametrize("prefix", ["encoder.", "network.encoder.", "module.network.encoder.", ""])
def test_checkpoints_and_state_dicts(tmp_path, container, prefix):
    source, target = encoder(seed=1), encoder(seed=2)
    state = {prefix + k: v for k, v in source.state_dict().items()}
    if prefix:
        state |= {"head.weight": torch.zeros(1), "momentum.network.encoder.a": torch.zeros(1)}
    content = state if container is None else {container: state, "epoch": 3}
    torch.save(content, tmp_path / "c.pt")
    account = load_weights(target, tmp_path / "c.pt")
    assert account.complete and account.prefix == prefix and equal(source, target)
    other = encoder(seed=3)
    load_weights(other, content)
    assert equal(source, other)


def test_two_encoders_at_one_depth_are_ambiguous():
    state = {f"{p}.encoder.a": torch.zeros(1) for p in ("student", "teacher")}
    with pytest.raises(ValueError, match=r"holds `encoder` more than once \(student.encoder, teacher.encoder\)"):
        load_weights(encoder(), state)


def test_two_encoders_of_equal_standing_are_ambiguous_at_any_depth():
    state = {f"{p}.encoder.a": torch.zeros(1) for p in ("online", "target.network")}
    with pytest.raises(ValueError, match=r"more than once \(online.encoder, target.network.encoder\)"):
        load_weights(encoder(), state)
    source, other = encoder(seed=1), encoder(seed=2)
    kept = {f"encoder.{name}": tensor for name, tensor in source.state_dict().items()}
    load_weights(other, kept | {"target.encoder.a": torch.zeros(1)})
    assert equal(source, other)


def test_a_part_that_is_not_in_the_file(tmp_path):
    path = export_weights(PyramidUNet(encoder()), tmp_path / "w.safetensors", card())
    with pytest.raises(ValueError, match="holds no `decoder`, only `encoder`"):
        load_weights(PyramidUNet(encoder()), path, "decoder")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (encoder(widths=(8, 16)), "another width"),
        (encoder(widths=(16, 32, 64)), "another depth"),
        (encoder(channels=4), r"saw images of 4 channels, not 1: set `channels='inflate'`"),
        (ResNetEncoder(3, 1, 4), "No name agrees: these are weights of another network"),
        (batch_to_group_norm(encoder()), "has group norm, this one batch norm"),
    ],
)
def test_refusals_name_tensors_and_reason_and_change_nothing(source, reason):
    target = encoder(seed=1)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(ValueError, match=reason) as caught:
        load_weights(target, source.state_dict())
    assert "Only " in str(caught.value) and "% of the encoder of ConvEncoder" in str(caught.value)
    assert any(part in str(caught.value) for part in ("stages.", "net."))
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())


def test_not_strict_loads_what_fits_and_says_so():
    source = encoder(widths=(16, 64), seed=1)
    target = encoder(seed=2)
    account = load_weights(target, source.state_dict(), strict=False)
    assert equal(target.stages[0], source.stages[0])
    assert not account.complete and set(account.reshaped) and 0 < account.share < 1
    assert "reshaped" in account.table() and "in file" in account.table()


@settings(max_examples=15, deadline=None)
@given(have=st.integers(1, 3), repeats=st.integers(1, 4), dims=st.sampled_from([2, 3]))
def test_inflated_convolution_answers_equal_channels_as_before(have, repeats, dims):
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    narrow, wide = conv(have, 5, 3), conv(have * repeats, 5, 3)
    wide.weight.data, wide.bias.data = inflate_channels(narrow.weight.data, have * repeats), narrow.bias.data
    assert torch.equal(wide.weight, torch.cat([narrow.weight / repeats] * repeats, 1))
    x = torch.rand(2, have, *(6,) * dims)
    torch.testing.assert_close(wide(x.repeat(1, repeats, *(1,) * dims)), narrow(x), atol=1e-5, rtol=1e-5)


def test_color_to_gray_sums_the_channels():
    color, gray = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)
    gray.weight.data, gray.bias.data = inflate_channels(color.weight.data, 1), color.bias.data
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(gray(x), color(x.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5)


def test_inflation_to_an_odd_number_is_refused():
    with pytest.raises(ValueError, match="for 3 channels cannot be inflated to 4: only to a multiple of 3"):
        inflate_channels(torch.zeros(2, 3, 3, 3), 4)


def test_loading_inflates_only_the_first_convolution():
    source, target = encoder(seed=1).eval(), encoder(channels=4, seed=2).eval()
    account = load_weights(target, source.state_dict(), channels="inflate")
    assert list(account.inflated) == ["stages.0.conv1.weight"] and account.complete
    assert torch.equal(target.stages[0].conv1.weight, source.stages[0].conv1.weight.expand(-1, 4, -1, -1, -1) / 4)
    x = torch.rand(1, 1, 8, 8, 8)
    torch.testing.assert_close(target(x.expand(-1, 4, -1, -1, -1))[-1], source(x)[-1], atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="`channels` must be 'refuse' or 'inflate', got 'maybe'"):
        load_weights(target, source.state_dict(), channels="maybe")


def test_no_other_convolution_is_inflated():
    state = encoder().state_dict()
    state["stages.0.conv2.weight"] = state["stages.0.conv2.weight"][:, :4]
    with pytest.raises(ValueError, match=r"1 of another shape \(stages.0.conv2.weight"):
        load_weights(encoder(), state, channels="inflate")


def test_group_norm_before_or_after_loading_is_the_same():
    source, before, after = encoder(seed=1), batch_to_group_norm(encoder(seed=2)), encoder(seed=3)
    account = load_weights(before, source.state_dict())
    load_weights(after, source.state_dict())
    assert equal(before, batch_to_group_norm(after)) and account.complete
    assert len(account.dropped) == 3 * 4 and not any("running" in name for name in before.state_dict())
    assert torch.equal(before.stages[0].norm1.weight, source.stages[0].norm1.weight)


def test_released_3d_weights_of_pcrl():
    source, target = encoder(seed=1), encoder(seed=2)
    state = {"module.up_tr256.up_conv.weight": torch.zeros(1)}
    for name, tensor in source.state_dict().items():
        _, stage, layer, kind = name.split(".")
        state[
            f"module.down_tr{64 * 2 ** int(stage)}.ops.{int(layer[-1]) - 1}.{layer[:4].replace('norm', 'bn')}1.{kind}"
        ] = tensor
    assert load_weights(target, {"state_dict": state}).complete and equal(source, target)
    state["teacher.down_tr64.ops.0.conv1.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="several encoders of PCRL"):
        load_weights(target, state)


def test_resnets_in_the_layout_of_torchvision():
    source, target = ResNetEncoder(2, 3, 4), ResNetEncoder(2, 3, 4)
    state = {k.replace("net.", "encoder."): v for k, v in source.state_dict().items()} | {"fc.weight": torch.zeros(1)}
    assert load_weights(target, state).complete and equal(source, target)


def test_pickles_and_broken_files_are_refused(tmp_path):
    torch.save({"args": argparse.Namespace(lr=1), "state_dict": encoder().state_dict()}, tmp_path / "old.pth")
    with pytest.raises(ValueError, match=r"could run foreign code, so it is refused.*convert it once"):
        load_weights(encoder(), tmp_path / "old.pth")
    (tmp_path / "half.pt").write_bytes((tmp_path / "old.pth").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"half.pt` is not a whole checkpoint"):
        load_weights(encoder(), tmp_path / "half.pt")
    (tmp_path / "half.safetensors").write_bytes(b"\x08" * 50)
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        load_weights(encoder(), tmp_path / "half.safetensors")
    (tmp_path / "p.pt").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match=r"p.pt`"):
        load_weights(encoder(), tmp_path / "p.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list, not a state dict"):
        load_weights(encoder(), tmp_path / "list.pt")
    with pytest.raises(ValueError, match="has no tensors at its top level nor under `method`"):
        load_weights(encoder(), {"epoch": 1})
    with pytest.raises(FileNotFoundError, match="There is no weights file"):
        load_weights(encoder(), tmp_path / "none.pt")


def test_other_preprocessing_is_a_warning_in_words(tmp_path):
    path = export_weights(PyramidUNet(encoder()), tmp_path / "w.safetensors", card(spacing=(1.0, 1.0, 1.0)))
    with pytest.warns(UserWarning, match=r"may not fit these images: modality is mr here but was ct"):
        account = load_weights(encoder(), path, expected={"modality": "mr", "spacing": [1, 1, 1]})
    assert len(account.warnings) == 1


@pytest.mark.parametrize(
    "spoil", [lambda t: t * float("nan"), lambda t: (t * 100).to(torch.int8), lambda t: t.double() * 1e300]
)
@pytest.mark.parametrize("strict", [True, False])
def test_weights_that_are_no_finite_floats_are_refused_and_change_nothing(spoil, strict):
    source, network = (SkipUNet(ConvEncoder(3, 1, (4, 8)), 2) for _ in range(2))
    state = source.encoder.state_dict()
    name = next(iter(state))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=f"1 of .* not finite numbers of floating point .{name}"):
        load_weights(network, {**state, name: spoil(state[name])}, strict=strict)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
