"""Primus of nnssl: files with its names and shapes become encoders here that compute what theirs do."""

import pytest
import torch
from torch.nn.functional import conv3d, layer_norm, linear, silu

from monai_ssl.networks import VisionTransformer
from monai_ssl.transfer import adopt, load_weights, matching_encoder, read_card

WIDTH, HEADS, DEPTH, PATCH = 396, 6, 2, 8
WINDOW = (16, 24, 32)  # z, y, x
LINEAR = {
    "attn.q_proj": (WIDTH, WIDTH),
    "attn.k_proj": (WIDTH, WIDTH),
    "attn.v_proj": (WIDTH, WIDTH),
    "attn.proj": (WIDTH, WIDTH),
    "mlp.fc1_g": (1056, WIDTH),
    "mlp.fc1_x": (1056, WIDTH),
    "mlp.fc2": (WIDTH, 1056),
}


def primus():
    """The state dict of Primus-S with fewer blocks and MAE's decoder, as `dynamic-network-architectures` names it."""
    shapes = {"mask_token": (1, 1, WIDTH), "down_projection.proj.weight": (WIDTH, 1, PATCH, PATCH, PATCH)}
    shapes |= {"down_projection.proj.bias": (WIDTH,), "up_projection.decode.0.0.weight": (WIDTH, 64, 2, 2, 2)}
    shapes |= {"eva.pos_embed": (1, 24, WIDTH), "eva.norm.weight": (WIDTH,), "eva.norm.bias": (WIDTH,)}
    for n in range(DEPTH):
        at = f"eva.blocks.{n}"
        shapes |= {f"{at}.gamma_1": (WIDTH,), f"{at}.gamma_2": (WIDTH,)}
        norms = {"norm1": WIDTH, "norm2": WIDTH, "attn.norm": WIDTH, "mlp.norm": 1056}
        shapes |= {f"{at}.{name}.{value}": (width,) for name, width in norms.items() for value in ("weight", "bias")}
        shapes |= {f"{at}.{name}.weight": shape for name, shape in LINEAR.items()}
        shapes |= {f"{at}.{name}.bias": shape[:1] for name, shape in LINEAR.items() if name != "attn.k_proj"}
    shapes |= {"decoder.blocks.0.norm1.weight": (WIDTH,)}
    generator = torch.Generator().manual_seed(0)
    # far from the start, where attention hardly sees places
    scales = {name: 1.0 if len(shape) == 1 else 2 * shape[-1] ** -0.5 for name, shape in shapes.items()}
    return {name: torch.randn(shape, generator=generator) * scales[name] for name, shape in shapes.items()}


def by_hand(state, image):
    """Primus by its published description: attention with rotary positions, SwiGLU, norms inside, layer scale."""
    cells = conv3d(image, state["down_projection.proj.weight"], state["down_projection.proj.bias"], stride=PATCH)
    places = torch.cartesian_prod(*(torch.arange(float(side)) for side in cells.shape[2:]))
    bands = 10_000 ** -(torch.arange(11) / 11)
    angles = (places[..., None] * bands).flatten(1).repeat_interleave(2, 1)

    def turned(x):
        x = x.unflatten(2, (HEADS, -1)).transpose(1, 2)
        other = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
        return x * angles.cos() + other * angles.sin()

    def dense(name, x):
        return linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    x = cells.flatten(2).transpose(1, 2) + state["eva.pos_embed"]
    for at in (f"eva.blocks.{n}." for n in range(DEPTH)):
        y = norm(at + "norm1", x)
        q, k = (turned(dense(f"{at}attn.{name}_proj", y)) for name in "qk")
        v = dense(at + "attn.v_proj", y).unflatten(2, (HEADS, -1)).transpose(1, 2)
        y = (q @ k.transpose(2, 3) / 66**0.5).softmax(-1) @ v
        x = x + state[at + "gamma_1"] * dense(at + "attn.proj", norm(at + "attn.norm", y.transpose(1, 2).flatten(2)))
        y = norm(at + "norm2", x)
        y = silu(dense(at + "mlp.fc1_g", y)) * dense(at + "mlp.fc1_x", y)
        x = x + state[at + "gamma_2"] * dense(at + "mlp.fc2", norm(at + "mlp.norm", y))
    return norm("eva.norm", x).transpose(1, 2).unflatten(2, cells.shape[2:])


def by_their_class(state, image):
    # needs timm up to 1.0.16, whose rotary positions are right in 3-D, and torchvision: neither is a dependency
    pytest.importorskip("timm")
    from dynamic_network_architectures.architectures.primus import Primus

    theirs = Primus(1, WIDTH, (PATCH,) * 3, 1, DEPTH, HEADS, image.shape[2:], init_values=0.1, scale_attn_inner=True)
    faults = theirs.load_state_dict(state, strict=False)
    assert faults.unexpected_keys == ["decoder.blocks.0.norm1.weight"]
    cells = theirs.eval().down_projection(image)
    return theirs.eva(cells.flatten(2).transpose(1, 2))[0].transpose(1, 2).unflatten(2, cells.shape[2:])


def checkpoint(window=WINDOW):
    seen = {"spacing": [3.0, 1.0, 2.0], "patch_size": list(window)}
    plan = {"architecture_plans": {"arch_class_name": "PrimusS", "arch_kwargs": None}}
    plan["pretrain_plan"] = {"configurations": {"onemmiso": seen}}
    return {"network_weights": primus(), "nnssl_adaptation_plan": plan}


@pytest.mark.parametrize("theirs", [by_hand, pytest.param(by_their_class, marks=pytest.mark.slow)])
def test_it_computes_what_theirs_does_on_a_volume_without_symmetry(theirs, tmp_path):
    torch.save(checkpoint(), tmp_path / "checkpoint_final.pth")
    out = adopt(tmp_path / "checkpoint_final.pth", tmp_path / "out.safetensors", release="openmind")
    card = read_card(out)
    assert (card.normalize, card.spacing, card.window_size) == ("zscore", (2.0, 1.0, 3.0), (32, 24, 16))
    image = torch.randn(1, 1, *WINDOW)
    with torch.no_grad():
        wanted = theirs(primus(), image).permute(0, 1, 4, 3, 2)
        for file in (tmp_path / "checkpoint_final.pth", out):
            encoder = matching_encoder(str(file), 3, 1).eval()
            account = load_weights(encoder, file)
            assert account.complete and account.total == len(primus()) - 3  # mask token, decoders
            torch.testing.assert_close(encoder(image.permute(0, 1, 4, 3, 2))[0], wanted, rtol=1e-4, atol=1e-4)


def test_windows_of_another_size_resize_the_positions():
    ours = VisionTransformer(window_size=(32, 32, 16), size="S", depth=DEPTH)
    assert [*load_weights(ours, checkpoint()).resized] == ["transformer.positions"]
    # along x nothing is resized, and what is constant along the others stays as it was
    state = primus()
    state["eva.pos_embed"] = torch.arange(4.0).repeat(6)[None, :, None].expand(1, 24, WIDTH).contiguous()
    load_weights(ours, checkpoint() | {"network_weights": state})
    assert torch.equal(ours.transformer.positions[0, 0, :, 2, 1], torch.arange(4.0))


def test_without_a_plan_tokens_are_those_of_a_cube():
    state = primus() | {"eva.pos_embed": torch.arange(8.0)[None, :, None].expand(1, 8, WIDTH)}
    ours = VisionTransformer(window_size=(16, 16, 16), size="S", depth=DEPTH)
    assert load_weights(ours, state).complete
    assert torch.equal(ours.transformer.positions[0, 0], torch.arange(8.0).reshape(2, 2, 2).permute(2, 1, 0))


def renamed(old, new):
    return {name.replace(old, new): tensor for name, tensor in primus().items()}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: primus(), r"\(1, 24, 396\) are not those of a cube of tokens.*`nnssl_adaptation_plan`"),
        (lambda: checkpoint((160, 160, 160)), "not those of a cube"),
        (lambda: primus() | {"register_tokens": torch.ones(1, 4, WIDTH)}, "has register tokens: only Primus S, B, M"),
        (lambda: renamed("projection.proj", "projection.stem.blocks.0.conv1.conv"), "no plain 3-D patch embedding"),
        (lambda: primus() | {"down_projection.proj.weight": torch.ones(WIDTH, 1, 4, 8, 8)}, "4 x 8 x 8 voxels"),
        (lambda: primus() | {"down_projection.proj.weight": torch.ones(384, 1, 8, 8, 8)}, "has 384 channels; the"),
        (lambda: primus() | renamed("eva.", "teacher.eva."), "several Primus encoders"),
        (
            lambda: checkpoint() | {"network_weights": renamed("attn.q_proj", "attn.qkv")},
            r"4 missing in the file \(transformer.blocks.0.attention.query.weight",
        ),
    ],
)
def test_what_our_transformer_is_not_is_refused(state, message):
    ours = VisionTransformer(window_size=(32, 24, 16), size="S", depth=DEPTH)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_weights(ours, state())
    assert all(torch.equal(before[name], tensor) for name, tensor in ours.state_dict().items())
