"""Every pre-training bundle on disk: what it says builds, learns, repeats, records, exports, infers, resumes.

Each configuration is built once (``case``), trained for an epoch once (``trained``), and asked by all tests, those of
``test_methods.py`` and ``test_numerics.py`` among them. What takes a run of its own is done for one of each kind.
"""

import contextlib
import copy
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import nibabel
import pytest
import torch
from ignite.engine import Events
from method_cases import BUNDLES, CONFIGS, built, dims, name, parsed, small, terms_of

from monai_ssl.files import read_json
from monai_ssl.handlers import RunFolder
from monai_ssl.networks import EncoderClassifier, SkipUNet
from monai_ssl.transfer import load_weights, matching_encoder, read_card

pytestmark = pytest.mark.bundle
KINDS = {
    "rotation-pretrain_2d": "one network, one optimizer",
    "pcrlv2-pretrain": "a list of small crops beside the views; a scale drawn for all samples",
    "jigsaw-pretrain": "cells instead of views; a table of permutations among the weights",
    "cpc-pretrain_2d": "more patches than samples",
    "tower-pretrain": "two tasks, and a mask that the loss sees",
    "byol-pretrain": "a network that follows, faster or slower with the progress of the run",
    "moco-pretrain_2d": "such a network, and a queue",
    "pcrlv1-pretrain_2d": "both, mixed samples, and orientations drawn in the method",
    "barlow_twins-pretrain_2d": "LARS",
    "cube_plus_plus-pretrain": "an adversary: two steps, two optimizers",
    "transvw-pretrain_2d": "words that are found before training",
    "dinov2-pretrain": "a teacher, prototypes that are frozen at first, a weight decay that follows the progress",
    "dira-pretrain": "words and an adversary on a method within the method",
}
"""One configuration of each kind of state, volumes and images in turn, and why it is a kind."""
QUICK = ("moco-pretrain_2d", "cube_plus_plus-pretrain")
COMMANDS = {
    "rotation-pretrain_2d": "nothing but numbers",
    "pcrlv2-pretrain": "lists, which the command line reads as JSON, and an entry of a list by its number",
    "dira-pretrain": "keys of objects within objects, and files that are written before training",
}
"""Configurations whose overrides the command line must read each in its way; ``case`` is built by the same code."""


def test_what_monai_asks_for(case):
    assert case.workflow.check_properties() == []


def test_a_step_is_finite_reaches_the_encoder_and_repeats(case):
    method, batch, again = case.copy(), case.batch(), case.batch()
    assert all(torch.equal(v, again[k]) for k, v in batch.items() if isinstance(v, torch.Tensor))
    terms, repeated = terms_of(method, batch), terms_of(case.copy(), again)
    assert terms and all(t.ndim == 0 and t.isfinite() for t in terms.values())
    assert terms.keys() == repeated.keys() and all(torch.equal(terms[k], repeated[k]) for k in terms)
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.encoder.parameters())


def test_each_optimizer_holds_what_its_step_trains_and_nothing_else(case):
    assert tuple(case.trainer.optimizers) == case.method.steps
    for step, optimizer in case.trainer.optimizers.items():
        held = sorted(id(p) for group in optimizer.param_groups for p in group["params"])
        assert held == sorted(id(p) for p in case.method.step_parameters(step)), step
        fixed, wanted = (
            {id(p) for group in groups if group.get("fixed_lr") for p in group["params"]}
            for groups in (optimizer.param_groups, case.method.parameter_groups(step))
        )
        assert fixed == wanted, step


def test_no_view_and_no_step_reads_back_from_the_device(case, monkeypatch):
    """Meta tensors have no values: a host read, or a tensor that was left on the CPU, is an error."""
    generator = torch.Generator
    # there is neither a generator nor autocast for `meta`; seeds are drawn on the host in any case
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator("cpu"))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    method = copy.deepcopy(case.method).to("meta")
    batch = {key: x.to("meta") if isinstance(x, torch.Tensor) else x for key, x in case.windows.items()}
    viewed = copy.deepcopy(case.views)(batch)
    for step in method.steps:
        sum(method(viewed, step).values()).backward()
    method.after_step()
    assert {x.device.type for x in method.state_dict().values()} == {"meta"}


def test_the_table_names_the_keys_of_the_batch(case):
    named = set(re.findall(r"`([^`]*)`", row_of(case.path.parts[-3])[3]))
    keys = {k for k, v in case.batch().items() if isinstance(v, torch.Tensor)} - {"index"}
    assert keys and keys <= named, f"not in the table: {sorted(keys - named)}"


@pytest.mark.parametrize("path", [p for p in CONFIGS if "preset" in parsed(p, {}).get()], ids=name)
def test_the_preset_of_the_authors_code_builds(path, settings):
    case = built(path, settings(path, preset="reference"))
    assert all(t.isfinite() for t in terms_of(case.method, case.batch()).values())


def test_trains_records_exports_and_transfers(trained):
    out, method = trained.output_dir, trained.method
    for written in ("checkpoint.pt", "pictures/epoch_0001.png", "model.pt", "model.json"):
        assert (out / written).is_file(), written
    with sqlite3.connect(out / "mlruns.db") as record:
        assert record.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
    assert "validation/loss" in trained.trainer.state.metrics
    results = {path.name for path in RunFolder(out).results()}
    left = {path.name for path in out.iterdir()} - results
    assert left <= {"mlruns.db", "mlruns.db.lock", "mlruns", "words.json", ".lock"}, "a new run would mix with these"
    assert ("unet.safetensors" in results) == (method.decoder is not None)
    weights = out / "encoder.safetensors"
    card = read_card(weights)
    assert card.method == trained.path.parts[-3] and card.encoder["_target_"].startswith("monai_ssl.networks.")
    assert card.normalize in (None, "imagenet", "zscore") and card.patients >= 1
    channels = method.encoder.in_channels
    for network in (
        SkipUNet(matching_encoder(weights, dims(trained.path), channels), 1),
        EncoderClassifier(matching_encoder(weights, dims(trained.path), channels), 2),
    ):
        account = load_weights(network, weights)
        assert account.complete and account.share == 1.0
        for key, value in network.encoder.state_dict().items():
            assert torch.equal(value, method.encoder.state_dict()[key])


def inferred(case, weights, source, output, out):
    """What the bundle's inference, told nothing but where the weights are, writes for the scans at ``source``."""
    places = {"bundle_root": case.path.parents[1], "dataset_dir": source, "output_dir": out}
    options = {"weights": weights, "output": output, "modality": source.name, "device": "cpu"}
    parser = parsed(case.path.with_name("inference.json"), {k: str(v) for k, v in {**places, **options}.items()})
    for key in ("initialize", "run"):
        parser.get_parsed_content(key)
    return out


def discerning(weights, folder):
    """The weights with small variances of batch norm.

    An epoch leaves them near 1, and behind those so little is left of phantoms that they may differ in no digit.
    """
    shutil.copy(weights.with_name("model.json"), folder)
    state = torch.load(weights, weights_only=True)
    torch.save({k: x / 100 if k.endswith("running_var") else x for k, x in state.items()}, folder / weights.name)
    return folder / weights.name


def test_inference_gives_features_and_restorations(trained, cohort, tmp_path):
    source = cohort / ("ct" if dims(trained.path) == 3 else "xray")
    scans = sorted(p for p in source.rglob("*") if p.name.endswith((".nii.gz", ".png")))
    weights = trained.output_dir / "model.pt"
    features = inferred(trained, discerning(weights, tmp_path), source, "features", tmp_path / "features")
    rows = (features / "features.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == [*map(str, scans)]
    vectors = {tuple(map(float, row.split(",")[1:])) for row in rows}
    assert len(vectors) == len(scans) and {len(v) for v in vectors} == {trained.method.encoder.channels[-1]}
    if not hasattr(trained.method, "restore"):
        return
    out = inferred(trained, weights, source, "restoration", tmp_path / "restored")
    for scan in scans:
        # each patient's file is called alike
        (made,) = (out / scan.relative_to(source)).parent.glob(f"{scan.name.split('.')[0]}_restored*")
        if dims(trained.path) == 3:
            a, b = nibabel.load(scan), nibabel.load(made)
            assert a.shape == b.shape and torch.allclose(torch.tensor(a.affine), torch.tensor(b.affine))


class Stop(Exception):
    pass


def stopped(case):
    """Train until the second epoch begins."""

    @case.trainer.on(Events.EPOCH_STARTED(once=2))
    def stop():
        raise Stop

    with pytest.raises(Stop):
        case.trainer.run()


@pytest.mark.parametrize(
    "path",
    [p if name(p) in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in CONFIGS if name(p) in KINDS],
    ids=name,
)
def test_a_run_that_stops_and_goes_on_with_other_workers_is_one_that_did_not(path, store, tmp_path):
    whole, half, rest = (
        built(path, small(path, store, tmp_path / out, max_epochs=2, **more))
        for out, more in (("a", {}), ("b", {}), ("b", {"resume": True, "num_workers": 2}))
    )
    whole.trainer.run()
    stopped(half)
    rest.trainer.run()
    assert rest.trainer.state.iteration == whole.trainer.state.iteration
    for (key, value), other in zip(whole.method.state_dict().items(), rest.method.state_dict().values(), strict=True):
        assert torch.equal(value, other), key


def stock_command(path, options):
    """MONAI's own command with overrides, and an environment that finds this checkout."""
    words = [w for k, v in options.items() if k != "amp" for w in (f"--{k}", str(v))]
    command = [sys.executable, "-m", "monai.bundle", "run", "pretrain", "--config_file", str(path), *words]
    return command, {**os.environ, "PYTHONPATH": str(BUNDLES.parent)}


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in CONFIGS if name(p) in COMMANDS], ids=name)
def test_the_stock_command_runs_on_the_checkout_and_a_raw_tree(path, cohort, tmp_path):
    command, env = stock_command(path, small(path, cohort, tmp_path))
    subprocess.run(command, check=True, cwd=tmp_path, env=env)
    assert (tmp_path / "encoder.safetensors").is_file()


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.parts[-3] == "pcrlv2"], ids=name)
def test_targets_are_the_views_before_they_were_augmented(path, settings):
    """PCRLv2-10: in [0, 1] in 3-D; with the augmentation off, the input before normalization is the target."""
    quiet = built(path, settings(path, augment=[], **({"swap": []} if dims(path) == 3 else {"cutout": []})))
    batch, loud = quiet.batch(), built(path, settings(path)).batch()
    for view, target in (("view1", "target1"), ("view2", "target2")):
        if dims(path) == 3:
            assert loud[target].min() >= 0 and loud[target].max() <= 1
            normal = batch[target] - batch[target].mean((1, 2, 3, 4), keepdim=True)
            normal = normal / normal.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
            assert torch.allclose(normal, batch[view], atol=1e-4)
        else:
            assert torch.equal(batch[view], batch[target])
        assert torch.equal(loud[target], batch[target]) and not torch.equal(loud[view], batch[view])


@pytest.mark.slow
def test_a_misspelled_override_of_the_stock_command_ends_in_a_sentence(settings, tmp_path):
    path = BUNDLES / "pcrlv2/configs/pretrain.json"
    command, env = stock_command(path, settings(path))
    wrong = subprocess.run(
        [*command, "--epoch", "3"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1 and "did you mean `max_epochs`?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_what_never_varies_is_alike_and_short():
    """What differs between bundles is the method: crops, views, network, optimizer, numbers."""
    template = json.loads((BUNDLES / "pcrlv2/configs/pretrain.json").read_text())
    alike = [
        "initialize",
        "pretrain",
        "run",
        "amp",
        "device",
        "resume",
        "init_weights",
        "patience",
        "seed",
        "output_dir",
        "dataset_dir",
    ]
    own = ("name", "scans", "window_size", "preset")
    for path in CONFIGS:
        config = json.loads(path.read_text())
        assert [key for key in alike if config[key] != template[key]] == [], path
        trainer = {key: value for key, value in config["train"]["trainer"].items() if key != "clip_norm"}
        assert trainer == template["train"]["trainer"], path
        assert config["train"]["handlers"][-1] == template["train"]["handlers"][-1], path
        ours, theirs = ({k: v for k, v in c["pretraining"].items() if k not in own} for c in (config, template))
        assert ours == theirs and config["pretraining"]["name"] == path.parts[-3], path
        assert len(path.read_text().splitlines()) <= 85, f"{path}: what never varies belongs in a factory"


def row_of(bundle):
    """The cells of the bundle's row in the table of all bundles."""
    start = f"| [{bundle}]({bundle}/docs/README.md) |"
    rows = [line for line in (BUNDLES / "README.md").read_text().splitlines() if line.startswith(start)]
    assert len(rows) == 1, f"`bundles/README.md` needs one row that starts with {start}"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


def test_every_bundle_has_its_files_and_its_row_in_the_table():
    bundles = {path.parents[1] for path in BUNDLES.glob("*/configs/metadata.json")}
    assert len(bundles) > 20
    for bundle in bundles:
        meta = read_json(bundle / "configs/metadata.json")
        assert meta["version"] in meta["changelog"] and (bundle / "docs/README.md").is_file(), bundle
        assert (bundle / "configs/inference.json").is_file(), bundle
        configs = {p.stem for p in bundle.glob("configs/*.json")}
        pretraining = {c for c in configs if c.startswith("pretrain")}
        named = set(re.findall(r"`([^`]*)`", row_of(bundle.name)[2]))
        assert named == (pretraining or configs - {"metadata"}), bundle
        assert not pretraining or "](https://" in row_of(bundle.name)[1], f"the paper of {bundle} needs its address"
    named = re.findall(r"^\| \[(\w+)\]", (BUNDLES / "README.md").read_text(), re.MULTILINE)
    assert set(named) == {bundle.name for bundle in bundles}
