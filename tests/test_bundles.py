"""Every pre-training bundle on disk is a test case: what it says must build, learn, repeat, resume and export."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from method_cases import BUNDLES, CONFIGS, dims, name, parsed
from monai.bundle import ConfigWorkflow

from monai_ssl.networks import EncoderClassifier, SkipUNet
from monai_ssl.transfer import load_weights, matching_encoder, read_card

pytestmark = pytest.mark.bundle


def train(path, overrides):
    parser = parsed(path, overrides)
    parser.get_parsed_content("initialize")
    trainer = parser.get_parsed_content("train#trainer")
    trainer.run()
    return trainer


def first_terms(path, overrides):
    torch.manual_seed(0)
    parser = parsed(path, overrides)
    method, views, trainer = (parser.get_parsed_content(i) for i in ("network_def", "views", "train#trainer"))
    views.set_random_state(0)
    batch = views(next(iter(trainer.data_loader)))
    return method, batch, {k: v for step in method.steps for k, v in method(batch, step).items()}


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_one_step_is_finite_and_repeats(path, settings):
    method, _, terms = first_terms(path, settings(path))
    assert terms and all(t.ndim == 0 and t.isfinite() for t in terms.values())
    again = first_terms(path, settings(path))[2]
    assert terms.keys() == again.keys() and all(torch.equal(terms[k], again[k]) for k in terms)
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.encoder.parameters())


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_both_presets_build(path, settings):
    for preset in ("paper", "reference") if "preset" in parsed(path, {}).get() else ():
        assert all(t.isfinite() for t in first_terms(path, settings(path, preset=preset))[2].values())


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_each_optimizer_holds_what_its_step_trains_and_nothing_else(path, settings):
    parser = parsed(path, settings(path))
    method, made = (parser.get_parsed_content(i) for i in ("network_def", "optimizer"))
    for step, optimizer in (made if isinstance(made, dict) else {"losses": made}).items():
        held = sorted(id(p) for group in optimizer.param_groups for p in group["params"])
        assert held == sorted(id(p) for p in method.step_parameters(step)), step
        fixed, wanted = (
            {id(p) for group in groups if group.get("fixed_lr") for p in group["params"]}
            for groups in (optimizer.param_groups, method.parameter_groups(step))
        )
        assert fixed == wanted, step


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.parts[-3] == "pcrlv2"], ids=name)
def test_targets_are_the_views_before_they_were_augmented(path, settings):
    """B10: in [0, 1] in 3-D; with the augmentation off, the input before normalization is the target."""
    quiet = settings(path, augment=[], **({"swap": []} if dims(path) == 3 else {"cutout": []}))
    batch, loud = first_terms(path, quiet)[1], first_terms(path, settings(path))[1]
    for view, target in (("view1", "target1"), ("view2", "target2")):
        if dims(path) == 3:
            assert loud[target].min() >= 0 and loud[target].max() <= 1
            normal = batch[target] - batch[target].mean((1, 2, 3, 4), keepdim=True)
            normal = normal / normal.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
            assert torch.allclose(normal, batch[view], atol=1e-4)
        else:
            assert torch.equal(batch[view], batch[target])
        assert torch.equal(loud[target], batch[target]) and not torch.equal(loud[view], batch[view])


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_trains_records_exports_and_transfers(path, settings, tmp_path):
    trainer = train(path, settings(path))
    assert (tmp_path / "checkpoint.pt").is_file() and list((tmp_path / "pictures").glob("epoch_0001.png"))
    assert (tmp_path / "mlruns.db").is_file()
    assert "validation/loss" in trainer.state.metrics
    card = read_card(tmp_path / "encoder.safetensors")
    assert card.method == path.parts[-3] and card.encoder["_target_"].startswith("monai_ssl.networks.")
    assert card.normalize in (None, "imagenet", "zscore") and card.patients >= 1
    weights = tmp_path / "encoder.safetensors"
    channels = trainer.method.encoder.in_channels
    for network in (
        SkipUNet(matching_encoder(weights, dims(path), channels), 1),
        EncoderClassifier(matching_encoder(weights, dims(path), channels), 2),
    ):
        account = load_weights(network, weights)
        assert account.complete and account.share == 1.0
        for key, value in network.encoder.state_dict().items():
            assert torch.equal(value, trainer.method.encoder.state_dict()[key])


# one of each kind in every run of the suite: siamese, queue, adversary, images
OFTEN = ("pcrlv2-pretrain", "moco-pretrain", "cube_plus_plus-pretrain", "jigsaw-pretrain_2d")


@pytest.mark.parametrize(
    "path", [p if name(p) in OFTEN else pytest.param(p, marks=pytest.mark.slow) for p in CONFIGS], ids=name
)
def test_resumes(path, settings, tmp_path):
    whole = train(path, settings(path, max_epochs=2, output_dir=str(tmp_path / "a")))
    halfway = settings(path, max_epochs=2, output_dir=str(tmp_path / "b"))
    parser = parsed(path, halfway)
    parser.get_parsed_content("initialize")
    first = parser.get_parsed_content("train#trainer")

    class Stop(Exception):
        pass

    def stop(engine):
        if engine.state.epoch == 2:
            raise Stop

    from ignite.engine import Events

    first.add_event_handler(Events.EPOCH_STARTED, stop)
    with pytest.raises(Stop):
        first.run()
    second = train(path, {**halfway, "resume": True})
    for (key, value), other in zip(whole.method.state_dict().items(), second.method.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_has_the_properties_that_monai_asks_for(path, settings):
    workflow = ConfigWorkflow(
        str(path),
        meta_file=str(path.parent / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        run_id="pretrain",
        **settings(path),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("bundle", sorted({p.parents[1] for p in CONFIGS}), ids=lambda p: p.name)
def test_folder_is_complete(bundle):
    for file in ("configs/metadata.json", "configs/inference.json", "docs/README.md"):
        assert (bundle / file).is_file(), file
    meta = json.loads((bundle / "configs/metadata.json").read_text())
    assert meta["version"] in meta["changelog"]
    for config in bundle.glob("configs/pretrain*.json"):
        assert len(config.read_text().splitlines()) <= 85, "what never varies belongs in a factory"


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_parts_that_are_alike_in_all_bundles(path):
    template, config = (json.loads(p.read_text()) for p in (BUNDLES / "pcrlv2/configs/pretrain.json", path))
    for key in (
        "initialize",
        "pretrain",
        "run",
        "amp",
        "device",
        "resume",
        "patience",
        "seed",
        "output_dir",
        "dataset_dir",
    ):
        assert config[key] == template[key], key
    assert config["train"]["trainer"] == template["train"]["trainer"]
    assert config["train"]["handlers"][-1] == template["train"]["handlers"][-1]
    own = ("name", "scans", "window_size", "preset")
    ours, theirs = ({k: v for k, v in c["pretraining"].items() if k not in own} for c in (config, template))
    assert ours == theirs and config["pretraining"]["name"] == path.parts[-3]


def stock_command(path, options):
    """MONAI's own command with overrides, and an environment that finds this checkout."""
    words = [w for k, v in options.items() if k != "amp" for w in (f"--{k}", str(v))]
    command = [sys.executable, "-m", "monai.bundle", "run", "pretrain", "--config_file", str(path), *words]
    return command, {**os.environ, "PYTHONPATH": str(BUNDLES.parent)}


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_the_stock_command_runs_on_the_checkout(path, settings, tmp_path):
    command, env = stock_command(path, settings(path))
    subprocess.run(command, check=True, cwd=tmp_path, env=env)
    assert (tmp_path / "encoder.safetensors").is_file()


@pytest.mark.slow
def test_a_misspelt_override_of_the_stock_command_ends_in_a_sentence(settings, tmp_path):
    path = BUNDLES / "pcrlv2/configs/pretrain.json"
    command, env = stock_command(path, settings(path))
    wrong = subprocess.run(
        [*command, "--epoch", "3"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 1 and "did you mean `max_epochs`?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("output", ["restoration", "features"])
def test_inference_gives_restorations_and_features(output, settings, tmp_path, cohort):
    path = BUNDLES / "pcrlv2/configs/pretrain.json"
    train(path, settings(path))
    parser = parsed(
        path.with_name("inference.json"),
        {
            "bundle_root": str(path.parents[1]),
            "dataset_dir": str(cohort / "ct"),
            "output_dir": str(tmp_path / "out"),
            "weights": str(tmp_path / "model.pt"),
            "output": output,
            "modality": "ct",
            "device": "cpu",
        },
    )
    for id in ("initialize", "run"):
        parser.get_parsed_content(id)
    if output == "features":
        rows = (tmp_path / "out" / "features.csv").read_text().splitlines()
        assert len(rows) == len(list((cohort / "ct").rglob("*.nii.gz")))
        values = [float(v) for v in rows[0].split(",")[1:]]
        assert len(values) == 16 and len(set(values)) > 1
    else:
        import nibabel

        for source in (cohort / "ct").rglob("*.nii.gz"):
            # each patient's file is called alike
            made = (tmp_path / "out" / source.relative_to(cohort / "ct")).with_name("ct_restored.nii.gz")
            a, b = nibabel.load(source), nibabel.load(made)
            assert a.shape == b.shape and torch.allclose(torch.tensor(a.affine), torch.tensor(b.affine))


def row_of(bundle):
    """The cells of the bundle's row in the table of all bundles."""
    start = f"| [{bundle}]({bundle}/docs/README.md) |"
    rows = [line for line in (BUNDLES / "README.md").read_text().splitlines() if line.startswith(start)]
    assert len(rows) == 1, f"`bundles/README.md` needs one row that starts with {start}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


@pytest.mark.parametrize("bundle", sorted(p.parents[1].name for p in BUNDLES.glob("*/configs/metadata.json")))
def test_every_bundle_has_its_row_in_the_table(bundle):
    configs = {p.stem for p in BUNDLES.glob(f"{bundle}/configs/*.json")}
    pretraining = {c for c in configs if c.startswith("pretrain")}
    named = set(re.findall(r"`([^`]*)`", row_of(bundle)[2]))
    assert named == (pretraining or configs - {"metadata"})
    assert (BUNDLES / bundle / "docs/README.md").is_file()
    assert not pretraining or "](https://" in row_of(bundle)[1], "the paper needs its address"


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_the_table_names_the_keys_of_the_batch(path, settings):
    named = set(re.findall(r"`([^`]*)`", row_of(path.parts[-3])[3]))
    keys = {k for k, v in first_terms(path, settings(path))[1].items() if isinstance(v, torch.Tensor)}
    assert keys and keys <= named, f"not in the table: {sorted(keys - named)}"


def test_the_table_has_no_bundle_that_is_not_there():
    table = (BUNDLES / "README.md").read_text()
    for bundle in re.findall(r"^\| \[(\w+)\]", table, re.MULTILINE):
        assert (BUNDLES / bundle / "configs").is_dir(), bundle


def test_there_are_bundles():
    assert {"pcrlv2-pretrain", "pcrlv2-pretrain_2d"} <= set(map(name, CONFIGS))
