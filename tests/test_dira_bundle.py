"""What only DiRA's bundle has: stages that follow each other, any base, flips of input and target together."""

import pytest
import torch
from method_cases import BUNDLES, dims, name, parsed

pytestmark = pytest.mark.bundle
FOLDER = BUNDLES / "dira/configs"
PAIRS = [FOLDER / "pretrain_2d.json", FOLDER / "pretrain_moco.json"]
CONFIGS = [FOLDER / "pretrain.json", *PAIRS]
OTHER_BASES = {
    "BarlowTwins": {"widths": [8, 8]},
    "SimSiam": {"dim": 8, "hidden": 4},
}


def run(path, overrides):
    parser = parsed(path, overrides)
    for key in ("initialize", "run"):
        parser.get_parsed_content(key)
    return parser.get_parsed_content("train#trainer")


def first_batch(path, overrides):
    parser = parsed(path, overrides)
    views, trainer = (parser.get_parsed_content(i) for i in ("views", "train#trainer"))
    return views.set_random_state(0)(next(iter(trainer.data_loader)))


@pytest.mark.parametrize("path", PAIRS, ids=name)
def test_the_target_is_the_view_before_it_was_augmented(path, settings):
    """Property 8; the authors' code flips the input only."""
    plain = {"augment": [], "distort": [], "batch_size": 6, "windows_per_scan": 4}
    batch = first_batch(path, settings(path, **plain))
    assert torch.equal(batch["view1"], batch["target"])
    code = first_batch(path, settings(path, **plain, flip_target=False))
    flipped = [i for i in range(6) if not torch.equal(code["view1"][i], code["target"][i])]
    assert 0 < len(flipped) < 6
    assert all(torch.equal(code["view1"][i].flip(1), code["target"][i]) for i in flipped)
    loud = first_batch(path, settings(path))
    assert not torch.equal(loud["view1"], loud["target"]) and 0 <= loud["target"].min() <= loud["target"].max() <= 1


@pytest.mark.parametrize("path", PAIRS, ids=name)
def test_both_views_are_distorted_but_not_in_stage_di(path, settings):
    quiet = {"augment": [], "flips": [], "crops": parsed(path, settings(path))["crops"], "distort#0#probs": [1, 0, 0]}
    for stage, distorted in (("dir", True), ("di", False)):
        batch = first_batch(path, settings(path, **quiet, stage=stage))
        assert (not torch.equal(batch["view1"], batch["target"])) == distorted
        assert all(((batch[v] == 0).flatten(1).float().mean(1) > 0).all() for v in ("view1", "view2")) or not distorted


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_stages_follow_each_other(path, settings, tmp_path, caplog):
    """Property 11, as the README's commands do it."""
    first = run(path, settings(path, stage="dir", output_dir=str(tmp_path / "dir")))
    assert list(first.optimizers) == ["losses"]
    parser = parsed(path, settings(path, stage="dira", start_from=str(tmp_path / "dir/model.pt")))
    parser.get_parsed_content("initialize")
    with caplog.at_level("INFO"):
        second = parser.get_parsed_content("train#trainer")
    assert "Starting from an earlier stage" in caplog.text
    state = second.method.state_dict()
    assert all(torch.equal(state[k], v) for k, v in first.method.state_dict().items())
    assert list(second.optimizers) == ["losses", "discriminator_losses"]
    assert second.method.weights == ((1, 10, 0.001) if dims(path) == 2 else (1, 100, 1))
    second.run()
    assert second.optimizers["discriminator_losses"].param_groups[0]["lr"] == (2e-4 if dims(path) == 2 else 1e-3)


@pytest.mark.parametrize("base", OTHER_BASES)
def test_another_base_by_an_override(base, settings):
    """Property 14, with the overrides of the README."""
    path = FOLDER / "pretrain_2d.json"
    definition = {"_target_": f"monai_ssl.methods.{base}", "encoder": "@encoder", **OTHER_BASES[base]}
    overrides = settings(path) | {"network_def#base": definition}
    overrides.pop("network_def#base#queue_size")
    trainer = run(path, overrides)
    assert type(trainer.method.base).__name__ == base
    fixed = [g["lr"] for g in trainer.optimizers["losses"].param_groups if g.get("fixed_lr")]
    assert fixed == ([0.03] if base == "SimSiam" else [])


@pytest.mark.parametrize("output", ["restoration", "features"])
def test_inference(output, settings, tmp_path, cohort):
    path = FOLDER / "pretrain.json"
    options = settings(path)
    run(path, options)
    places = {"bundle_root": options["bundle_root"], "dataset_dir": str(cohort / "ct"), "device": "cpu"}
    parser = parsed(
        FOLDER / "inference.json",
        {
            **places,
            "output": output,
            "modality": "ct",
            "output_dir": str(tmp_path / "out"),
            "weights": str(tmp_path / "model.pt"),
        },
    )
    for key in ("initialize", "run"):
        parser.get_parsed_content(key)
    if output == "features":
        rows = (tmp_path / "out/features.csv").read_text().splitlines()
        assert len({row.split(",", 1)[1] for row in rows}) == len(rows) == len(list((cohort / "ct").rglob("*.nii.gz")))
    else:
        import nibabel

        for source in (cohort / "ct").rglob("*.nii.gz"):
            (made,) = (tmp_path / "out").rglob(f"{source.name.removesuffix('.nii.gz')}_restored*")
            image = nibabel.load(made).get_fdata()
            assert image.shape == nibabel.load(source).shape and 0 <= image.min() < image.max() <= 1
