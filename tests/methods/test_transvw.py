"""TransVW: TransVW-6, TransVW-8 to TransVW-12 of docs/properties.md, and the views of its bundles."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from monai_ssl.methods import TransVW
from monai_ssl.networks import ConvEncoder, EncoderClassifier, ResNetEncoder, RestorationUNet
from monai_ssl.transfer import ModelCard, export_weights, load_weights

# four phantoms, three of them trained on: few words, of which each patient gives several
_FEW = {"num_words": 3, "visual_words#options#min_distance": 2}
SMALL = {"pretrain": _FEW, "pretrain_2d": _FEW}
MOVES = {"classification": ("network.encoder.", "classifier."), "restoration": ("network.",)}


def make(dims=3, num_words=5, **options) -> TransVW:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(4, 8, 16, 32)) if dims == 3 else ResNetEncoder(width=8)
    return TransVW(RestorationUNet(encoder), num_words, **options)


def batch(dims=3, size=4, num_words=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (1, 16, 16, 8) if dims == 3 else (3, 64, 64)
    view, target = (torch.rand(size, *shape, generator=g) for _ in range(2))
    return {"view": view, "target": target, "label": torch.randint(num_words, (size,), generator=g)}


def moved(module):
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize(("words", "total"), [(44, 33_277_613), (50, 33_283_763)])
def test_has_the_parameters_of_the_authors_network(words, total):
    method = TransVW(RestorationUNet(ConvEncoder()), words)
    assert sum(p.numel() for p in method.parameters()) == total
    assert sum(p.numel() for p in method.classifier.parameters()) == total - 19_073_665


@pytest.mark.parametrize("dims", [2, 3])
def test_terms_are_cross_entropy_and_squared_error(dims):
    method, data = make(dims, classification_weight=0.3, restoration_weight=2.0).eval(), batch(dims)
    terms = method.losses(data)
    logits = method.logits(method.encoder(data["view"]))
    own = -torch.stack([row.softmax(0)[label].log() for row, label in zip(logits, data["label"], strict=True)]).mean()
    assert torch.allclose(terms["classification"], 0.3 * own, atol=1e-6)
    restored = method.restore(data["view"])["restored"]
    assert restored.shape == data["view"].shape and restored.min() > 0 and restored.max() < 1
    assert torch.allclose(terms["restoration"], 2 * (restored - data["target"]).square().mean())


def test_the_default_weights_are_the_authors():
    method, data = make().eval(), batch()
    weighted, plain = method.losses(data), make(classification_weight=1.0).eval().losses(data)
    assert torch.allclose(weighted["classification"], 0.01 * plain["classification"])
    assert torch.equal(weighted["restoration"], plain["restoration"])


@pytest.mark.parametrize(
    ("options", "term", "still"),
    [
        ({"classification_weight": 0.0}, "restoration", "classifier"),
        ({"restoration_weight": 0.0}, "classification", "decoder"),
    ],
)
def test_a_weight_of_zero_leaves_its_part_untouched(options, term, still):
    method = make(**options)
    terms = method.losses(batch())
    assert list(terms) == [term] and method.sparse_gradients
    terms[term].backward()
    assert moved(method.encoder) and not moved(getattr(method, still))
    assert not make().sparse_gradients


def test_sure_answers_give_finite_losses():
    method = make(restoration_weight=0.0)
    method.classifier = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, 5))
    nn.init.zeros_(method.classifier[-1].weight)
    for value in (1e4, -1e4):
        method.classifier[-1].bias.data = torch.tensor([value, 0.0, 0.0, 0.0, 0.0])
        assert method.losses(batch())["classification"].isfinite()


@pytest.mark.parametrize("dims", [2, 3])
def test_evaluation_is_deterministic_and_sees_each_sample_alone(dims):
    method, data = make(dims), batch(dims)
    for _ in range(3):
        method.losses(data)
    method.eval()
    together = method.logits(method.encoder(data["view"]))
    alone = torch.cat([method.logits(method.encoder(x[None])) for x in data["view"]])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(together, method.logits(method.encoder(data["view"])))
    assert not torch.allclose(together[0], together[1])


def test_the_encoder_transfers_whole_and_the_head_stays_behind(tmp_path):
    method = make()
    export_weights(method, tmp_path / "encoder.safetensors", ModelCard("transvw", "paper", {}, "ct"))
    classifier = EncoderClassifier(ConvEncoder(widths=(4, 8, 16, 32)), 2)
    account = load_weights(classifier, tmp_path / "encoder.safetensors")
    assert account.complete and not account.missing and not account.unexpected
    expected = method.encoder.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in classifier.encoder.state_dict().items())


def test_panels_show_input_target_and_restoration():
    method, data = make(), batch()
    panels = method.eval().panels(data)
    assert list(panels) == ["input", "target", "restored"]
    assert panels["input"] is not None and torch.equal(panels["target"], data["target"])
    assert not any(image.requires_grad for image in panels.values())


# small enough for thousands; out-painting needs 14 voxels
@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ("transvw/configs/pretrain.json", (1, 14, 15, 16)),
        ("transvw/configs/pretrain_2d.json", (3, 32, 30)),
        ("dira/configs/pretrain.json", (1, 14, 15, 16)),
    ],
)
def test_the_target_is_the_word_as_it_was_cut_and_one_of_four_augments_the_view(config, shape):
    parser = ConfigParser()
    parser.read_config(str(Path(__file__).parents[2] / "bundles" / config))
    parser["roi_size"] = list(shape[1:])
    views = parser.get_parsed_content("views").set_random_state(0)
    assert [type(t).__name__ for t in views.transforms] == ["Snapshotd", "RandElasticBatchd", "RandOneOfd"]
    one_of = views.transforms[-1]
    one_of.params_key = "done"
    kinds = [type(t).__name__ for t in one_of.transforms]
    assert kinds == ["RandLocalShufflingd", "RandBezierd", "RandPaintingd", "RandPaintingd"]
    assert all(t.prob == 1 for t in one_of.transforms) and [t.in_prob for t in one_of.transforms[2:]] == [1, 0]
    x = torch.rand(1600, *shape, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    out = views({"view": x})
    assert torch.equal(out["target"], before)
    assert (out["view"] != out["target"]).flatten(1).any(1).all()
    shares = out["done"]["choice"].bincount(minlength=4) / len(x)
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classification_weight": -1.0}, "must not be negative"),
        ({"classification_weight": 0.0, "restoration_weight": 0.0}, "one of them above 0"),
    ],
)
def test_mistakes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
