"""DiRA: DiRA-1, DiRA-4, DiRA-5, DiRA-7, DiRA-9, DiRA-11, DiRA-12, DiRA-14 of docs/properties.md."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import resnet50
from spy import Spy

from monai_ssl.engines import InferenceNetwork, SSLTrainer
from monai_ssl.handlers import StartFrom
from monai_ssl.methods import BarlowTwins, DiRA, MoCo, SimSiam, TransVW
from monai_ssl.methods.base import Method
from monai_ssl.networks import ConvEncoder, Discriminator, ResNetEncoder, RestorationUNet
from monai_ssl.transfer import ModelCard, export_weights, load_weights

_PAIRS = {"network_def#base#queue_size": 8, "network_def#discriminator#width": 4}
SMALL = {
    "pretrain": {"num_words": 3, "visual_words#options#min_distance": 2, "network_def#discriminator#width": 4},
    "pretrain_moco": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], **_PAIRS},
    "pretrain_2d": _PAIRS,
}
MOVES = {
    "discrimination": ("network.encoder.", "base."),
    "restoration": ("network.",),
    "adversarial": ("network.",),
    "discriminator": ("discriminator.",),
}
BASES = {
    "moco": lambda unet: MoCo(unet.encoder, dim=6, queue_size=16),
    "barlow_twins": lambda unet: BarlowTwins(unet.encoder, widths=(8, 8)),
    "simsiam": lambda unet: SimSiam(unet.encoder, dim=8, hidden=4),
    "transvw": lambda unet: TransVW(unet, 5, classification_weight=1.0, restoration_weight=0.0),
}


def make(base="moco", dims=2, **options) -> DiRA:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(2, 4, 8, 16)) if dims == 3 else ResNetEncoder(width=4)
    unet = RestorationUNet(encoder, 1)
    return DiRA(BASES[base](unet), unet, Discriminator(dims, width=4), **options)


def batch(base="moco", dims=2, size=4, side=64, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (3, side, side) if dims == 2 else (1, 16, 16, 16)
    names = ("view", "target") if base == "transvw" else ("view1", "view2", "target")
    data = {name: torch.rand(size, *shape, generator=g) for name in names}
    return data | ({"label": torch.randint(5, (size,), generator=g)} if base == "transvw" else {})


def total(terms):
    return torch.stack(list(terms.values())).sum()


def gradients(method, data, step="losses"):
    """The gradient of each parameter that has one, by name; the batch is seen as if for the first time."""
    torch.manual_seed(0)
    method.zero_grad(set_to_none=True)
    total(method(data, step)).backward()
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


def optimizers(method, lr=0.01):
    return {step: torch.optim.SGD(method.parameter_groups(step), lr) for step in method.steps}


def trainer(method, data, handlers=()):
    return SSLTrainer("cpu", 1, [data], method, optimizers(method), train_handlers=list(handlers))


@pytest.mark.parametrize(("dims", "weights"), [(2, (1, 10, 0.001)), (3, (1, 100, 1))])
def test_the_objective_is_the_weighted_sum_of_three(dims, weights):
    method, data = make(dims=dims, weights=weights), batch(dims=dims)
    before = copy.deepcopy(method.state_dict())
    got = method.losses(data)
    method.load_state_dict(before)
    restored = method.network(data["view1"])
    method.load_state_dict(before)
    (dis,) = method.base.losses(data).values()
    clean = data["target"].mean(1, keepdim=True)
    mse, fooled = (restored - clean).square().mean(), (method.discriminator(restored) - 1).square().mean()
    expected = {"discrimination": dis, "restoration": mse, "adversarial": fooled}
    assert list(got) == list(expected)
    for weight, (name, value) in zip(weights, expected.items(), strict=True):
        assert torch.allclose(got[name], weight * value, atol=1e-6), name
    assert torch.allclose(total(got), sum(w * v for w, v in zip(weights, expected.values(), strict=True)), atol=1e-5)


@pytest.mark.parametrize(
    ("gan", "real", "restored", "accuracy"),
    [("lsgan", 0.6, 0.4, 1.0), ("lsgan", 0.4, 0.4, 0.5), ("bce", 0.4, 0.3, 0.5), ("bce", 0.1, -0.1, 1.0)],
)
def test_metrics_say_how_well_the_discriminator_tells_restorations_from_targets(gan, real, restored, accuracy):
    method, data = make(gan=gan).eval(), batch()
    method.discriminator = spy = Spy(real, restored)
    got = {name: value.item() for name, value in method.metrics(data).items()}
    expected = {"discriminator_accuracy": accuracy, "logit_real": real, "logit_restored": restored}
    assert got == pytest.approx(expected, abs=1e-6)
    assert torch.equal(spy.seen[0], data["target"].mean(1, keepdim=True))
    assert torch.equal(spy.seen[1], method.network(data["view1"]))
    assert make(stage="dir").metrics(data) == {}


def two_tasks(stage, **options):
    """DiRA around a base of two terms, one of which may be left out."""
    torch.manual_seed(0)
    unet = RestorationUNet(ResNetEncoder(width=4), 1)
    return DiRA(TransVW(unet, 5, **options), unet, Discriminator(2, width=4), stage=stage, weights=(3.0, 1.0, 1.0))


def test_all_terms_of_the_base_discriminate():
    method, data = two_tasks("di", classification_weight=1.0), batch("transvw")
    data["target"] = data["target"].mean(1, keepdim=True)
    terms = method.base.losses(data)
    assert set(terms) == {"classification", "restoration"}
    torch.testing.assert_close(method.losses(data)["discrimination"], 3 * total(terms))


@pytest.mark.parametrize("stage", ["dir", "dira"])
def test_the_trainer_is_told_of_a_base_that_leaves_a_part_of_itself_out(stage):
    method, data = two_tasks(stage, classification_weight=0.0), batch("transvw")
    data["target"] = data["target"].mean(1, keepdim=True)
    total(method.losses(data)).backward()
    assert method.sparse_gradients and any(p.grad is None for p in method.step_parameters("losses"))
    assert not make("simsiam", stage=stage).sparse_gradients


def test_the_default_weights_are_those_of_the_paper_in_2d():
    assert make().weights == (1.0, 10.0, 0.001)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dims", [2, 3])
def test_any_base_shares_its_encoder_and_trains(base, dims):
    method, data = make(base, dims), batch(base, dims)
    assert method.encoder is method.base.encoder is method.network.encoder
    calls = []
    method.encoder.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0]))
    run = trainer(method, data)
    before = {n: p.detach().clone() for n, p in method.named_parameters()}
    run.run()
    first = data["view" if base == "transvw" else "view1"]
    assert sum(torch.equal(x, first) for x in calls) == 1, "the first view is seen once for all terms"
    moved = {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}
    for part in ("network.encoder.", "network.decoder.", "network.head.", "base.", "discriminator."):
        assert any(n.startswith(part) for n in moved), part
    assert set(run.state.output) == {"loss", *MOVES}
    assert torch.allclose(run.state.output["loss"], total({k: run.state.output[k] for k in list(MOVES)[:3]}))


def test_optimizers_keep_the_rates_that_the_base_and_the_authors_keep():
    method = make("simsiam")
    rest, predictor = method.parameter_groups("losses")
    assert predictor["fixed_lr"] and {id(p) for p in predictor["params"]} == {
        id(p) for p in method.base.predictor.parameters()
    }
    assert "fixed_lr" not in rest
    ids = [id(p) for p in (*rest["params"], *predictor["params"])]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in method.step_parameters("losses")}
    (adversary,) = method.parameter_groups("discriminator_losses")
    assert adversary["fixed_lr"] and len(adversary["params"]) == len(list(method.discriminator.parameters()))


def test_the_discriminator_judges_the_clean_target_and_the_restoration_of_the_step_before():
    method, data = make(), batch()
    method.discriminator = Spy(1.0, 1.0, 0.0)
    terms = method.losses(data)
    with torch.no_grad():
        for p in method.network.parameters():
            p.add_(1.0)  # the optimizer's step comes in between
    judged = method.discriminator_losses(data)
    restored, real, fake = method.discriminator.seen
    assert torch.equal(real, data["target"].mean(1, keepdim=True)) and not real.requires_grad
    assert torch.equal(restored, fake) and restored.requires_grad and not fake.requires_grad
    assert terms["adversarial"] == 0 and judged["discriminator"] == 0, "least squares: 1 for real, 0 for restored"


@pytest.mark.parametrize("logit", [-2.0, 0.3])
def test_bce_is_the_logarithmic_loss(logit):
    method, data = make(gan="bce", weights=(1, 1, 1)), batch()
    method.discriminator = Spy(logit, 0.7, logit)
    terms = method.losses(data)
    one, zero = torch.ones(1), torch.zeros(1)
    answer, real = torch.tensor([logit]), torch.tensor([0.7])
    assert torch.allclose(terms["adversarial"], F.binary_cross_entropy_with_logits(answer, one))
    both = F.binary_cross_entropy_with_logits(real, one) + F.binary_cross_entropy_with_logits(answer, zero)
    assert torch.allclose(method.discriminator_losses(data)["discriminator"], both / 2)


def test_without_the_adversary_it_is_the_stage_before():
    """DiRA-7: weight 0 gives the gradients of stage `dir`, to the bit."""
    data = batch()
    adversarial, plain = make(weights=(1, 10, 0)), make(stage="dir", weights=(1, 10, 0))
    state = {k: v for k, v in adversarial.state_dict().items() if not k.startswith("discriminator.")}
    plain.load_state_dict(state)
    one, other = gradients(adversarial, data), gradients(plain, data)
    assert all(torch.equal(one[name], gradient) for name, gradient in other.items())
    assert all(n.startswith("discriminator.") and not g.any() for n, g in one.items() if n not in other)


def test_without_restoration_no_decoder_is_trained():
    data = batch()
    for method in (make(stage="di"), make(weights=(1, 0, 0))):
        names = {name for name, gradient in gradients(method, data).items() if gradient.any()}
        assert any(n.startswith("network.encoder.") for n in names)
        assert not any(n.startswith(("network.decoder.", "network.head.", "discriminator.")) for n in names)


@pytest.mark.parametrize(("stage", "terms"), [("di", 1), ("dir", 2), ("dira", 3)])
def test_stages_add_terms_one_by_one(stage, terms):
    method, data = make(stage=stage), batch()
    assert list(method.losses(data)) == ["discrimination", "restoration", "adversarial"][:terms]
    assert method.steps == (("losses", "discriminator_losses") if stage == "dira" else ("losses",))
    assert (method.discriminator is None) == (stage != "dira") and (method.decoder is None) == (stage == "di")
    assert method.sparse_gradients == (stage == "di")
    assert ("restored" in method.panels(data)) == (stage != "di")
    trainer(method, data).run()


def test_the_base_alone_is_stage_di():
    method, data = make(stage="di"), batch()
    with pytest.raises(ValueError, match="DiRA restores no images"):
        InferenceNetwork(method)
    before = copy.deepcopy(method.base)
    assert torch.equal(method.losses(data)["discrimination"], before.losses(data)["contrast"])


@pytest.mark.parametrize("side", [32, 64, 96])
def test_nothing_depends_on_the_size_of_images(side):
    method, data = make(), batch(side=side, size=2)
    assert all(t.isfinite() for step in method.steps for t in method(data, step).values())
    assert method.restore(data["view1"])["restored"].shape == (2, 1, side, side)


def test_validation_leaves_the_adversary_out():
    method, data = make().eval(), batch()
    assert list(method.losses(data)) == ["discrimination", "restoration"]
    assert method.discriminator_losses(data)["discriminator"].isfinite()


def test_decoder_and_head_start_as_in_the_authors_2d_code():
    """Kaiming-uniform by the inputs of each output, Xavier-uniform in the head, no biases."""
    network = make().network
    convs = [m for m in network.decoder.modules() if isinstance(m, torch.nn.Conv2d)]
    bounds = {conv: math.sqrt(6 / conv.weight[0].numel()) for conv in convs}
    bounds[network.head[0]] = math.sqrt(6 / (9 * (network.head[0].in_channels + network.head[0].out_channels)))
    for conv, bound in bounds.items():
        assert 0.8 * bound < conv.weight.abs().max() <= bound
        assert conv.bias is None or not conv.bias.any()


def test_the_base_is_updated_after_a_step_and_the_restoration_forgotten():
    method, data = make(), batch()
    method.losses(data)
    assert not method.base.queue.pointer
    method.after_step()
    assert method.base.queue.pointer == 4
    with pytest.raises(RuntimeError, match="`discriminator_losses` follow `losses` of the same batch"):
        method.discriminator_losses(data)


def test_panels_show_what_was_made_of_the_first_view():
    method, data = make().eval(), batch()
    panels = method.panels(data)
    assert torch.equal(panels["input"], data["view1"]) and torch.equal(panels["target"], data["target"])
    assert torch.equal(panels["restored"], method.network(data["view1"]))
    assert all(not image.requires_grad for image in panels.values())


def test_export_holds_the_unet_and_nothing_else(tmp_path):
    method = make()
    card = ModelCard("dira", "dira", {"_target_": "monai_ssl.networks.ResNetEncoder", "width": 4}, "xray", epochs=1)
    path = export_weights(method, tmp_path / "unet.safetensors", card, ("encoder", "decoder"))
    for part in ("encoder", "decoder"):
        assert load_weights(RestorationUNet(ResNetEncoder(width=4), 1), path, part).share == 1.0
    from safetensors.torch import load_file

    assert {name.split(".")[0] for name in load_file(path)} == {"encoder", "decoder"}


def test_the_encoder_fills_a_plain_resnet_50_but_for_its_classifier(tmp_path):
    from safetensors.torch import load_file

    unet = RestorationUNet(ResNetEncoder(depth=50), 1)
    method = DiRA(BASES["moco"](unet), unet, Discriminator(2, width=4)).eval()
    path = export_weights(method, tmp_path / "encoder.safetensors", ModelCard("dira", "dira", {}, "xray"))
    plain = resnet50(spatial_dims=2, n_input_channels=3, num_classes=2, conv1_t_stride=2, bias_downsample=False).eval()
    state = {name.removeprefix("encoder.net."): tensor for name, tensor in load_file(path).items()}
    report = plain.load_state_dict(state, strict=False)
    assert report.missing_keys == ["fc.weight", "fc.bias"] and not report.unexpected_keys
    x = batch(size=2)["view1"]
    torch.testing.assert_close(plain(x), plain.fc(method.representation(x)))


def test_a_stage_starts_from_the_one_before(tmp_path, caplog):
    """DiRA-11: U-Net, projector, key network and queue are kept; optimizers and discriminator are new."""
    earlier, data = make(stage="dir"), batch()
    trainer(earlier, data).run()
    torch.save(earlier.state_dict(), tmp_path / "model.pt")
    later = make()
    adversary = copy.deepcopy(later.discriminator.state_dict())
    with caplog.at_level("INFO"):
        run = trainer(later, data, [StartFrom(tmp_path / "model.pt")])
    state = later.state_dict()
    assert earlier.base.queue.pointer == 4
    assert all(torch.equal(state[name], value) for name, value in earlier.state_dict().items())
    assert all(torch.equal(state[f"discriminator.{name}"], value) for name, value in adversary.items())
    assert not any(o.state for o in run.optimizers.values())
    assert f"missing      {len(adversary):>2}  discriminator." in caplog.text
    run.run()


class Lone(Method):
    """Has an encoder and nothing to share."""

    def __init__(self, encoder):
        super().__init__()
        self.net = encoder

    @property
    def encoder(self):
        return self.net

    def losses(self, batch):
        return {}


def test_mistakes_are_explained():
    unet = RestorationUNet(ResNetEncoder(width=4), 1)
    critic = Discriminator(2, width=4)
    with pytest.raises(TypeError, match=r"`base` of DiRA must share its features .*, got Lone"):
        DiRA(Lone(unet.encoder), unet, critic)
    with pytest.raises(ValueError, match="must be built on the encoder of `network`"):
        DiRA(MoCo(ResNetEncoder(width=4), dim=6, queue_size=8), unet, critic)
    two = RestorationUNet(ResNetEncoder(width=4), 2)
    method = DiRA(BASES["moco"](two), two, Discriminator(2, 2, 4))
    with pytest.raises(ValueError, match="DiRA restores 2 channels, but the target has 3: set `out_channels`"):
        method.losses(batch())


def test_three_channels_are_restored_where_asked_for():
    unet = RestorationUNet(ResNetEncoder(width=4), 3)
    method, data = DiRA(BASES["moco"](unet), unet, Discriminator(2, 3, 4)), batch()
    terms = method.losses(data)
    assert torch.allclose(terms["restoration"], 10 * F.mse_loss(method._restored, data["target"]))
    assert method.discriminator_losses(data)["discriminator"].isfinite()
