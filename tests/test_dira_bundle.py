"""What only DiRA's bundle has: stages that follow each other, any base, flips of input and target together."""

import pytest
import torch
from method_cases import BUNDLES, built, name, parsed

pytestmark = pytest.mark.bundle
FOLDER = BUNDLES / "dira/configs"
PAIRS = [FOLDER / "pretrain_2d.json", FOLDER / "pretrain_moco.json"]
OTHER_BASES = {
    "BarlowTwins": {"widths": [8, 8]},
    "SimSiam": {"dim": 8, "hidden": 4},
}


def batch_of(path, overrides):
    return built(path, overrides).batch()


@pytest.mark.parametrize("path", PAIRS, ids=name)
def test_the_target_is_the_view_before_it_was_augmented(path, settings):
    """DiRA-8; the authors' code flips the input only."""
    plain = {"augment": [], "distort": [], "batch_size": 6, "windows_per_scan": 4}
    batch = batch_of(path, settings(path, **plain))
    assert torch.equal(batch["view1"], batch["target"])
    code = batch_of(path, settings(path, **plain, flip_target=False))
    flipped = [i for i in range(6) if not torch.equal(code["view1"][i], code["target"][i])]
    assert 0 < len(flipped) < 6
    assert all(torch.equal(code["view1"][i].flip(1), code["target"][i]) for i in flipped)
    loud = batch_of(path, settings(path))
    assert not torch.equal(loud["view1"], loud["target"]) and 0 <= loud["target"].min() <= loud["target"].max() <= 1


@pytest.mark.parametrize("path", PAIRS, ids=name)
def test_both_views_are_distorted_but_not_in_stage_di(path, settings):
    quiet = {"augment": [], "flips": [], "crops": parsed(path, settings(path))["crops"], "distort#0#probs": [1, 0, 0]}
    for stage, distorted in (("dir", True), ("di", False)):
        batch = batch_of(path, settings(path, **quiet, stage=stage))
        assert (not torch.equal(batch["view1"], batch["target"])) == distorted
        assert all(((batch[v] == 0).flatten(1).float().mean(1) > 0).all() for v in ("view1", "view2")) or not distorted


def test_stages_follow_each_other(settings, tmp_path, caplog):
    """DiRA-11, as the README's commands do it."""
    path = PAIRS[0]
    first = built(path, settings(path, stage="dir", output_dir=str(tmp_path / "dir")))
    first.trainer.run()
    assert list(first.trainer.optimizers) == ["losses"]
    with caplog.at_level("INFO"):
        second = built(path, settings(path, stage="dira", start_from=str(tmp_path / "dir/model.pt")))
    assert "Starting from earlier weights" in caplog.text
    state = second.method.state_dict()
    assert all(torch.equal(state[k], v) for k, v in first.method.state_dict().items())
    assert list(second.trainer.optimizers) == ["losses", "discriminator_losses"]
    second.trainer.run()


@pytest.mark.parametrize(
    ("config", "weights", "lr"), [("pretrain", (1, 100, 1), 1e-3), ("pretrain_2d", (1, 10, 0.001), 2e-4)]
)
def test_weights_and_rates_are_those_of_the_paper(config, weights, lr, settings):
    path = FOLDER / f"{config}.json"
    case = built(path, settings(path))
    case.trainer.run()
    assert case.method.weights == weights
    assert case.trainer.optimizers["discriminator_losses"].param_groups[0]["lr"] == lr


@pytest.mark.parametrize("base", OTHER_BASES)
def test_another_base_by_an_override(base, settings):
    """DiRA-14, with the overrides of the README."""
    path = PAIRS[0]
    definition = {"_target_": f"monai_ssl.methods.{base}", "encoder": "@encoder", **OTHER_BASES[base]}
    overrides = settings(path) | {"network_def#base": definition}
    overrides.pop("network_def#base#queue_size")
    case = built(path, overrides)
    case.trainer.run()
    assert type(case.method.base).__name__ == base
    fixed = [g["lr"] for g in case.trainer.optimizers["losses"].param_groups if g.get("fixed_lr")]
    assert fixed == ([0.03] if base == "SimSiam" else [])
