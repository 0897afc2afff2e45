"""The bundles of the tasks: from labeled files and weights to predictions on disk."""

import csv
import dataclasses
import inspect
import json
from pathlib import Path

import monai.bundle
import nibabel
import numpy as np
import pytest
import torch
from downstream_runs import (
    ROOT,
    options,
    segmentation,
    train_options,
    weights,
    workflow,
    write_disks,
    write_pictures,
    write_volumes,
)
from ignite.engine import Events
from mlflow.tracking import MlflowClient
from monai.bundle import ConfigParser
from monai.transforms import RandFlipd
from two_processes import ended, torchrun

import monai_ssl.tasks
from monai_ssl.data.fingerprint import cases_fingerprint
from monai_ssl.evaluation import recollect_bn
from monai_ssl.networks import LinearSegmenter, PyramidUNet
from monai_ssl.transfer import ModelCard, export_weights, paper_encoder

pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_volumes(tmp_path_factory.mktemp("volumes"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    return write_disks(tmp_path_factory.mktemp("disks"))


def test_segmentation_from_weights_to_files(tmp_path, volumes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, source = weights(tmp_path)
    overrides = segmentation(tmp_path, volumes, weights=str(path), scheme="fixed")
    flow = workflow("segmentation", **overrides)
    flow.run()
    trainer, network = (flow.parser.get_parsed_content(i) for i in ("train#trainer", "network"))
    assert np.isfinite(trainer.state.output[0]["loss"])
    for name, tensor in source.encoder.state_dict().items():
        assert torch.equal(tensor, network.encoder.state_dict()[name]), name
    model = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert model.keys() == network.state_dict().keys()

    workflow("segmentation", ["train", "evaluate"], **overrides).run()
    score = float(dict(csv.reader((tmp_path / "metrics.csv").open()))["val_mean_dice"])
    (case,) = csv.DictReader((tmp_path / "cases.csv").open())
    assert Path(case.pop("image")).name == "p3.nii.gz" and list(case) == [*overrides["labels"], "mean"]
    assert float(case["mean"]) == pytest.approx(score, abs=1e-4)
    assert (tmp_path / "cases.csv").stat().st_mode & 0o077 == 0, "it names patients' files"

    asked = {k: overrides[k] for k in ("bundle_root", "output_dir", "width", "device", "labels", "roi_size")}
    folder, checkpoint = volumes / "imagesTs", tmp_path / "models/model.pt"
    workflow("segmentation", "inference", "infer", dataset_dir=str(folder), checkpoint=str(checkpoint), **asked).run()
    written, image = nibabel.load(tmp_path / "p3_seg.nii.gz"), nibabel.load(folder / "p3.nii.gz")
    np.testing.assert_allclose(written.affine, image.affine)
    assert written.shape == image.shape and set(np.unique(written.get_fdata())) <= {0, 1, 2}

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    assert run.info.status == "FINISHED" and run.data.params["scheme"] == "fixed"
    assert {"weights", "part", "bn_frozen", "norm", "seed"} <= run.data.params.keys()
    assert {"loss", "val_mean_dice"} <= run.data.metrics.keys()
    assert run.data.metrics["test/mean_dice"] == pytest.approx(score, abs=1e-4), "evaluation adds to the same run"
    assert {f"test/{name}" for name in overrides["labels"]} <= run.data.metrics.keys()
    # its name says what it started from, and what it was trained on is known again
    assert run.info.run_name.startswith("segmentation-from-")
    read = {context: flow.parser.get_parsed_content(f"{context}#dataset#data") for context in ("train", "validate")}
    used = {d.tags[0].value: d.dataset.digest for d in run.inputs.dataset_inputs}
    assert used == {"training": cases_fingerprint(read["train"]), "validation": cases_fingerprint(read["validate"])}


def test_a_probe_trains_no_step_and_is_evaluated_as_what_it_is(tmp_path, volumes, pictures):
    overrides = segmentation(tmp_path, volumes, scheme="probe", roi_size=[24, 24, 16])
    flow = workflow("segmentation", **overrides)
    network = flow.parser.get_parsed_content("network")
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    flow.run()
    trainer, validator = (flow.parser.get_parsed_content(f"{x}") for x in ("train#trainer", "validate#evaluator"))
    assert trainer.state.iteration == 0 and isinstance(network, LinearSegmenter)
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    # the body stands out from air: what is read from an untrained encoder's maps is more than nothing
    assert validator.state.best_metric > 0.1
    workflow("segmentation", ["train", "evaluate"], **overrides | {"scheme": "full"}).run()
    assert "mean_dice" in (tmp_path / "metrics.csv").read_text()


@pytest.mark.slow
def test_segmentation_learns(tmp_path, volumes):
    overrides = segmentation(
        tmp_path, volumes, max_epochs=6, iterations_per_epoch=10, roi_size=[24, 24, 16], lr=0.01, val_interval=6
    )
    flow = workflow("segmentation", **overrides)
    flow.run()
    assert flow.parser.get_parsed_content("validate#evaluator").state.best_metric > 0.3


def test_spacing_and_group_norm(tmp_path, volumes):
    overrides = segmentation(tmp_path, volumes, spacing=[3.0, 3.0, 3.0], norm="group", width=8)
    flow = workflow("segmentation", **overrides)
    sample = flow.parser.get_parsed_content("validate#dataset")[0]
    assert sample["image"].shape[1:] == (24, 27, 22) and sample["image"].shape == sample["label"].shape
    assert any(isinstance(m, torch.nn.GroupNorm) for m in flow.parser.get_parsed_content("network").modules())


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ({"roi_size": [30, 32, 16]}, r"`roi_size` must be divisible by 8.*try \[32, 32, 16\]"),
        ({"weights": "WIDE"}, "Only .*% of the encoder of ConvEncoder.*another width"),
        ({"scheme": "frozen"}, "`scheme` must be one of"),
        ({"labels": {"background": 0}}, "`labels` must give each structure its own value"),
        ({"dataset_dir": "EMPTY"}, "has no cases for training"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path, volumes, override, match):
    (tmp_path / "empty").mkdir()
    known = {"WIDE": str(weights(tmp_path, 8)[0]), "EMPTY": str(tmp_path / "empty")}
    override = {k: known.get(v, v) if isinstance(v, str) else v for k, v in override.items()}
    with pytest.raises(RuntimeError) as caught:
        workflow("segmentation", **(segmentation(tmp_path, volumes) | override)).run()
    cause = caught.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, ValueError)
    with pytest.raises(ValueError, match=match):
        raise cause


@pytest.mark.parametrize("multilabel", [False, True])
def test_classification_from_pictures_to_a_table(tmp_path, pictures, multilabel):
    shared = {"image_size": [32, 32], "in_channels": 3, "modality": "xray"}
    classes = ["bright", "any"] if multilabel else ["negative", "positive"]
    if multilabel:
        rows = [f"{p.relative_to(pictures)},{int(p.parent.name == 'positive')},{i % 2}"
                for i, p in enumerate(sorted(pictures.glob("*/*.png")))]  # fmt: skip
        (tmp_path / "list.csv").write_text("image,bright,any\n" + "\n".join(rows))
        shared |= {"multilabel": True}
    overrides = train_options("classification", tmp_path, dataset_dir=str(pictures), classes=classes, lr=0.01, **shared)
    overrides |= {"max_epochs": 8, "batch_size": 4, "val_share": 0.34, "val_interval": 8}
    overrides |= {"datalist": str(tmp_path / "list.csv")} if multilabel else {}
    flow = workflow("classification", **overrides)
    flow.run()
    metrics = flow.parser.get_parsed_content("validate#evaluator").state.metrics
    assert {"val_auc", "val_accuracy"} == metrics.keys() and all(0 <= value <= 1 for value in metrics.values())
    assert multilabel or metrics["val_auc"] == 1

    asked = options("classification", tmp_path, classes=classes, **shared)
    asked |= {"dataset_dir": str(pictures / "positive"), "checkpoint": str(tmp_path / "models/model.pt")}
    workflow("classification", "inference", "infer", **asked).run()
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    values = np.array([[float(v) for v in row.split(",")[1:]] for row in rows])
    assert values.shape == (6, 2) and (multilabel or np.allclose(values.sum(1), 1, atol=1e-5))


def test_pictures_beside_each_other_are_trained_with_and_then_not_typed_again(tmp_path, pictures):
    shared = {"dataset_dir": str(pictures), "classes": ["negative", "positive"], "batch_size": 4, "val_share": 0.34}
    asked = {"image_size": [64, 32], "modality": "xray", "in_channels": 1, "task#parts": 2}
    trained = workflow("classification", **train_options("classification", tmp_path, **shared, **asked))
    trained.run()
    state = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert state["head.weight"].shape[1] == 2 * trained.parser.get_parsed_content("encoder").width

    later = options("classification", tmp_path / "later", ckpt_dir=str(tmp_path / "models"), num_workers=0)
    del later["width"]
    evaluation = workflow("classification", ["train", "evaluate"], section="validation", **later, **shared)
    evaluation.run()
    inference = workflow("classification", "inference", "infer", **later, dataset_dir=str(pictures / "positive"))
    inference.run()
    for flow in (evaluation, inference):
        network = flow.parser.get_parsed_content("network_def")
        assert network.parts == 2 and torch.equal(network.head.weight, state["head.weight"])
    assert len((tmp_path / "later/predictions.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize("bundle", ["classification", "regression", "segmentation"])
def test_what_shapes_a_network_is_told_by_its_description(bundle):
    """Else somebody must type it again: an option that is new must be read."""
    configs = ROOT / bundle / "configs"
    train, evaluate = (json.loads((configs / f"{name}.json").read_text()) for name in ("train", "evaluate"))
    task = getattr(monai_ssl.tasks, bundle.capitalize())
    network = set(inspect.signature(task.network).parameters) - {"self", "encoder", "dropout"}
    assert network <= train["network_def"].keys()
    told = {name.removeprefix("task#") for name, value in evaluate.items() if str(value).startswith("$@described")}
    assert {field.name for field in dataclasses.fields(task)} | network <= told


def test_evaluation_with_batch_norm_statistics_of_the_target(tmp_path, volumes, pictures):
    """One batch of all training pictures: the statistics are theirs, without augmentation; weights stay."""
    more = {"image_size": [32, 32], "in_channels": 3, "modality": "xray", "classes": ["negative", "positive"]}
    whole = train_options("classification", tmp_path, dataset_dir=str(pictures), batch_size=16, **more)
    workflow("classification", **whole).run()
    windows = segmentation(tmp_path / "volumes", volumes)
    workflow("segmentation", **windows).run()
    for bundle, overrides in (("classification", whole), ("segmentation", windows)):
        saved = torch.load(Path(overrides["ckpt_dir"]) / "model.pt", weights_only=True)
        section = {"section": "validation"}
        flow = workflow(bundle, ["train", "evaluate"], **overrides, **section, target_bn_batches=1)
        flow.run()
        network = flow.parser.get_parsed_content("network")
        moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, saved[name])}
        running = {name for name in saved if "running_" in name}
        assert running and running <= moved and all("num_batches" in name for name in moved - running)
        if bundle == "classification":
            plain = flow.parser.get_parsed_content("statistics#dataset")
            cases = [case["image"] for case in flow.parser.get_parsed_content("train#dataset#data")]
            assert [case["image"].meta["filename_or_obj"] for case in plain] == cases
            images = torch.stack([case["image"] for case in plain])
            found = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            recollect_bn(network, [images])
            for name in running:
                torch.testing.assert_close(network.state_dict()[name], found[name])


def test_resampling_balances_the_classes_of_an_epoch_and_no_flip_axis_flips_nothing(tmp_path, pictures):
    rows = [f"{path.relative_to(pictures)},{path.parent.name},training" for path in sorted(pictures.glob("*/*.png"))]
    validation = [row.replace("training", "validation") for row in (rows[0], rows[-1])]
    (tmp_path / "list.csv").write_text("image,label,section\n" + "\n".join([*rows[1:3], *rows[-6:-1], *validation]))
    more = {"datalist": str(tmp_path / "list.csv"), "image_size": [32, 32], "in_channels": 3, "modality": "xray"}
    overrides = train_options("classification", tmp_path, dataset_dir=str(pictures), batch_size=2, **more)

    def drawn(resampling):
        flow = workflow("classification", resampling=resampling, flip_axis=None, **overrides)
        transforms = flow.parser.get_parsed_content("train#preprocessing").transforms
        assert not any(isinstance(transform, RandFlipd) for transform in transforms)
        return [
            label for batch in flow.parser.get_parsed_content("train#dataloader") for label in batch["label"].tolist()
        ]

    assert sorted(drawn(None)) == [0, 0, 1, 1, 1, 1, 1]
    assert sorted(drawn("mean")) == [0, 0, 1, 1]
    assert len(drawn("weighted")) == 7


def test_scratch_and_what_was_pretrained_learn_at_rates_of_their_own(tmp_path):
    path, _ = weights(tmp_path)

    def rates(bundle, **more):
        parser = ConfigParser()
        parser.read_config(str(ROOT / bundle / "configs/train.json"))
        parser.update(train_options(bundle, tmp_path, weights=str(path), **more))
        return [group["lr"] for group in parser.get_parsed_content("optimizer").param_groups]

    for bundle, scratch in (("segmentation", 1e-3), ("classification", 1e-4), ("regression", 1e-4)):
        assert rates(bundle) == rates(bundle, scheme="fixed") == [1e-4, 1e-3]
        assert rates(bundle, part="none") == [scratch, scratch]
        assert rates(bundle, lr=3e-4) == [3e-4, 1e-3] and rates(bundle, lr=3e-4, part="none") == [3e-4, 3e-4]
        assert rates(bundle, lr=0.01) == [0.01, 0.01], "what is fresh is never slower"
        assert rates(bundle, head_lr=0.5) == [1e-4, 0.5]


@pytest.mark.parametrize("normalize", ["zscore", None])
def test_images_are_normalized_as_in_pretraining_from_training_to_inference(tmp_path, volumes, normalize):
    """By the card of the weights; afterwards, without the weights, by what the training wrote beside its model."""
    network = PyramidUNet(paper_encoder(3, 1, 4))
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "widths": [4, 8, 16, 32]}
    card = ModelCard("pcrlv2", "paper", recipe, "ct", normalize=normalize)
    (tmp_path / "pretrained").mkdir()
    path = export_weights(network, tmp_path / "pretrained/w.safetensors", card)
    overrides = segmentation(tmp_path, volumes, weights=str(path))
    x = torch.rand(2, 1, 16, 16, 16)

    def scale_matters(flow):
        net = flow.parser.get_parsed_content("network").eval()
        return not torch.allclose(net(x), net(5 * x + 3), atol=1e-3)

    flow = workflow("segmentation", **overrides)
    assert scale_matters(flow) == (normalize is None)
    for choice, matters in (("none", True), ("zscore", False)):
        assert scale_matters(workflow("segmentation", **overrides, normalize=choice)) == matters
    flow.run()
    model = {"checkpoint": str(tmp_path / "models/model.pt")}
    asked = {k: overrides[k] for k in ("bundle_root", "output_dir", "device", "dataset_dir")}
    assert scale_matters(workflow("segmentation", "inference", "infer", **asked, **model)) == (normalize is None)
    without = {k: v for k, v in overrides.items() if k != "weights"}
    assert scale_matters(workflow("segmentation", ["train", "evaluate"], **without)) == (normalize is None)


def test_classification_of_volumes_with_weights(tmp_path, volumes):
    rows = [f"imagesTr/p{i}.nii.gz,{('a', 'b')[i % 2]},{('training', 'training', 'validation')[i]}" for i in range(3)]
    (tmp_path / "list.csv").write_text("image,label,section\n" + "\n".join([*rows, "imagesTs/p3.nii.gz,b,validation"]))
    path, source = weights(tmp_path)
    more = {"datalist": str(tmp_path / "list.csv"), "classes": ["a", "b"], "image_size": [16, 16, 16]}
    overrides = train_options("classification", tmp_path, dataset_dir=str(volumes), weights=str(path), **more)
    flow = workflow("classification", scheme="fixed", **overrides)
    flow.run()
    encoder = flow.parser.get_parsed_content("network").encoder.state_dict()
    assert all(torch.equal(tensor, encoder[name]) for name, tensor in source.encoder.state_dict().items())


FLAT = {"image_size": [32, 32], "in_channels": 1, "modality": "xray", "target": "brightness"}


@pytest.mark.slow
def test_regression_learns_and_tells_numbers_in_their_unit(tmp_path, disks):
    overrides = train_options("regression", tmp_path, dataset_dir=str(disks), lr=0.003, **FLAT)
    overrides |= {"max_epochs": 30, "batch_size": 8, "dropout": 0.0}
    flow = workflow("regression", **overrides)
    validator, curve = flow.parser.get_parsed_content("validate#evaluator"), []
    validator.add_event_handler(Events.COMPLETED, lambda engine: curve.append(engine.state.metrics["val_mae"]))
    flow.run()
    assert {"val_mae", "val_rmse", "val_r2"} == validator.state.metrics.keys()
    assert validator.state.best_metric == min(curve) < 0.5 * curve[0]

    evaluated = workflow("regression", ["train", "evaluate"], **overrides, section="validation")
    evaluated.run()
    metrics = evaluated.parser.get_parsed_content("validate#evaluator").state.metrics
    assert metrics["val_mae"] == pytest.approx(min(curve), rel=1e-5), "the best model is the one with the least error"
    workflow("regression", ["train", "evaluate"], **overrides).run()
    cases = list(csv.DictReader((tmp_path / "cases.csv").open()))
    value, found = (np.array([float(case[name]) for case in cases]) for name in ("value", "prediction"))
    assert len(cases) == 8 and np.corrcoef(value, found)[0, 1] > 0.8 and np.abs(found - value).max() < 30

    asked = {k: v for k, v in FLAT.items() if k != "target"} | {"checkpoint": str(tmp_path / "models/model.pt")}
    infer = options("regression", tmp_path / "inferred", dataset_dir=str(disks), **asked)
    workflow("regression", "inference", "infer", **infer).run()
    rows = {row["image"]: row for row in csv.DictReader((tmp_path / "inferred/predictions.csv").open())}
    assert len(rows) == 48
    for case in cases:
        assert float(rows[case["image"]]["prediction"]) == pytest.approx(float(case["prediction"]), abs=1e-2)


def test_regression_of_volumes_with_weights(tmp_path, volumes):
    rows = [f"imagesTr/p{i}.nii.gz,{40 + i},{'validation' if i == 2 else ''}" for i in range(3)]
    (tmp_path / "list.csv").write_text("image,age,section\n" + "\n".join(rows))
    path, source = weights(tmp_path)
    more = {"datalist": str(tmp_path / "list.csv"), "target": "age", "image_size": [16, 16, 16]}
    overrides = train_options("regression", tmp_path, dataset_dir=str(volumes), weights=str(path), **more)
    flow = workflow("regression", scheme="fixed", **overrides)
    flow.run()
    model = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert model["mean"] == 40.5 and model["std"] == 0.5
    assert all(torch.equal(tensor, model[f"encoder.{name}"]) for name, tensor in source.encoder.state_dict().items())


@pytest.mark.parametrize("bundle", ["segmentation", "classification", "regression"])
def test_bundles_are_what_monai_expects(tmp_path, bundle, volumes, pictures, disks):
    data = str({"segmentation": volumes, "classification": pictures, "regression": disks}[bundle])
    own = {"target": "brightness"} if bundle == "regression" else {}
    own |= {} if bundle == "segmentation" else {"modality": "xray"}
    configs = ROOT / bundle / "configs"
    metadata = json.loads((configs / "metadata.json").read_text())
    for config, kind in (("train", "train"), ("inference", "infer")):
        given = own if config == "train" else {} if bundle == "segmentation" else {"image_size": [32, 32]}
        flow = workflow(bundle, config, kind, output_dir=str(tmp_path), dataset_dir=data, width=4, **given)
        assert flow.check_properties() == []
    monai.bundle.verify_net_in_out(
        "network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        device="cpu",
        width=8,
    )
    train, inference = (json.loads((configs / f"{name}.json").read_text()) for name in ("train", "inference"))
    others = {"imports", "initialize", "run", "network_def", "network", "task", "encoder", "output_dir", "ckpt_dir"}
    others |= {"normalization"}
    for key in train.keys() & inference.keys() - others:
        described = f"$@described.get({key!r}, {train[key]!r})"
        assert inference[key] in (train[key], described), key
    loading = {k: v for k, v in train["train"]["deterministic_transforms"].items() if k != "label_grid"}
    assert inference["preprocessing"]["transforms"] == loading | {"keys": ["image"]}
    assert metadata["version"] in metadata["changelog"]


def test_first_model_for_monai_label(tmp_path, volumes):
    path, source = weights(tmp_path)
    monai.bundle.run(
        "init_model",
        config_file=str(ROOT / "segmentation/configs/train.json"),
        logging_file=False,
        **segmentation(tmp_path, volumes, weights=str(path)),
    )
    model = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert torch.equal(model["encoder.stages.0.conv1.weight"], source.encoder.stages[0].conv1.weight)


@pytest.mark.slow
def test_two_processes_and_the_stock_command(tmp_path, volumes):
    configs = ROOT / "segmentation/configs"
    more = segmentation(
        tmp_path, volumes, weights=str(weights(tmp_path)[0]), scheme="warmup", max_epochs=2, warmup_epochs=1
    )
    more.pop("device")
    files = [str(configs / "train.json"), str(configs / "multi_gpu_train.json")]

    def train(**options):
        job = torchrun(2, "run", files, **(more | options))
        return ended(job, 300), job.returncode

    printed, code = train()
    assert code == 0, printed[-3000:]
    model = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in model.values())
    printed, code = train()
    assert code != 0 and "holds the results of an earlier run" in printed
    printed, code = train(resume="true", max_epochs=3)
    assert code == 0 and "after epoch 2" in printed, printed[-3000:]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"] == 3


@pytest.mark.parametrize(("level", "more"), [("default", 3), ("S3", 4), (None, 0)])
def test_augmentation_levels(tmp_path, volumes, level, more):
    flow = workflow("segmentation", **segmentation(tmp_path, volumes, augmentation=level))
    steps = flow.parser.get_parsed_content("train#preprocessing").transforms
    plain = flow.parser.get_parsed_content("train#deterministic_transforms")
    assert len(steps) == len(plain) + 4 + more
