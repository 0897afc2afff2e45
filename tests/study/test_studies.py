"""The ready-made studies: each parses, says what it is, and plans its cells at a small size without its data."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_ssl.bundle.inference import without_data
from monai_ssl.study.matrix import arms
from monai_ssl.study.plan import read_study
from monai_ssl.study.plan.bundle_files import encoder_name
from monai_ssl.study.run_study import table_of
from monai_ssl.tasks import Task

FOLDER = Path(__file__).parents[2] / "studies"
FILES = sorted(FOLDER.glob("*.json"))
PAPERS = ("tower", "pcrlv1", "pcrlv2", "dira", "dive")
READY = [path for path in FILES if path.stem.split("_")[0] in PAPERS]
SMALL = {"seeds": [0], "labels": [1]}


def smoke(path):
    """Changes that make a study one seed and one label on generated scans or radiographs."""
    content = json.loads(path.read_text())
    changes = dict(SMALL)
    for group in ("pretraining", "tasks"):
        for name, entry in content[group].items():
            if "from" in entry:
                continue
            overrides = entry.get("overrides", {})
            size = overrides.get(
                "roi_size", overrides.get("image_size", [0] * (3 - entry.get("config", "").endswith("2d")))
            )
            changes[f"{group}#{name}#dataset_dir"] = "phantoms:ct" if len(size) == 3 else "phantoms:xray"
    return changes


def test_every_table_that_was_promised_is_there():
    names = {path.stem for path in READY}
    wanted = [f"pcrlv2_table_{n}" for n in range(1, 9)] + [f"dira_table_{n}" for n in range(1, 5)]
    wanted += [f"dive_table_{n}" for n in range(3, 8)] + [f"dive_figure_{n}" for n in (2, 4, 8, 12)]
    wanted += [
        "tower_table_2",
        "tower_table_3",
        "pcrlv1_table_1",
        "pcrlv1_table_2",
        "pcrlv1_figure_4",
        "tower_figure_8",
        "tower_figure_9",
    ]
    assert [one for one in wanted if not any(name.startswith(one) for name in names)] == []


@pytest.mark.parametrize("path", READY, ids=lambda p: p.stem)
def test_study_parses_and_says_what_it_is(path):
    content, study = json.loads(path.read_text()), read_study(path)
    assert study.name == path.stem and study.output_dir == Path("studies_out") / path.stem
    about = content["_about"]
    assert set(about) == {"paper", "shows", "data", "differs"}
    used = {Path(one.dataset_dir).relative_to(FOLDER) for one in (*study.pretraining, *study.tasks)}
    told = {Path(name) for name in about["data"]}
    assert all(any(place.is_relative_to(name) for name in told) for place in used), used - told
    assert all(any(place.is_relative_to(name) for place in used) for name in told), told - used


@pytest.mark.parametrize("path", READY, ids=lambda p: p.stem)
def test_readme_tells_of_it(path):
    text = (FOLDER / "README.md").read_text()
    assert f"`{path.stem}.json`" in text
    for name in json.loads(path.read_text())["_about"]["data"]:
        assert f"`{name}`" in text


@pytest.mark.parametrize("path", READY, ids=lambda p: p.stem)
def test_small_size_plans_its_cells(path):
    study = read_study(path, smoke(path))
    found = arms(study)
    methods = {arm.method for arm in found if arm.pretraining is not None}
    assert methods == {method.name for method in study.pretraining}
    for task in study.tasks:
        scratch = [arm for arm in found if arm.task is task and arm.pretraining is None]
        kinds = {arm.kind for arm in found if arm.task is task and arm.pretraining is not None}
        # of methods that share an encoder and what is done to its images, one training from scratch is enough
        assert sorted(arm.kind for arm in scratch) == sorted(kinds) and scratch[0].method == "scratch"
    assert table_of(study).endswith(f"= {len(found)} cells")
    assert all(one.dataset_dir.startswith("phantoms:") for one in (*study.pretraining, *study.tasks))


@pytest.mark.parametrize(
    "path", [p for p in READY if p.stem.startswith("pcrlv") or p.stem.startswith("tower")], ids=lambda p: p.stem
)
def test_methods_of_one_paper_share_an_encoder(path):
    """Otherwise the methods of one column would be compared over different networks.

    SimCLR v2 hands over a layer more by its definition, and CMC has two networks of half the width.
    """
    found = [(arm.task.dims, trunk(arm.encoder)) for arm in arms(read_study(path))]
    for dims in (2, 3):
        assert len({encoder_name(recipe) for of, recipe in found if of == dims and recipe}) <= 1


def trunk(recipe):
    kind = recipe["_target_"].rsplit(".", 1)[-1]
    return None if kind == "SplitEncoder" else trunk(recipe["encoder"]) if kind == "HeadedEncoder" else recipe


@pytest.mark.parametrize("path", [p for p in READY if not p.stem.startswith("dive")], ids=lambda p: p.stem)
def test_methods_of_one_table_train_equally_long(path):
    """Zhang and Gu train each as its own paper does; elsewhere a longer training would be taken for a better method."""
    budgets = set()
    for one in read_study(path).pretraining:
        if one.bundle.name == "transvw":
            continue  # an epoch of which is all its words, however many scans there are
        parser = parsed(one.bundle, one.config, one.overrides)
        budgets.add(tuple(parser.get_parsed_content(key) for key in ("max_epochs", "windows_per_scan")))
    assert len(budgets) == 1, budgets


def settings_of(group):
    """Each bundle of the studies with its configuration and overrides once."""
    found = {}
    for path in READY:
        study = read_study(path)
        for one in study.pretraining if group == "pretraining" else study.tasks:
            config = one.config if group == "pretraining" else "train"
            key = json.dumps([one.bundle.name, config, dict(one.overrides)], sort_keys=True)
            found.setdefault(key, pytest.param(one.bundle, config, one.overrides, id=f"{path.stem}-{one.name}"))
    return list(found.values())


def parsed(bundle, config, overrides):
    """The parser with the overrides in place, each of which stands for something that is there."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / f"{config}.json"))
    for name, value in overrides.items():
        inside = name.rsplit("#", 1)[0]
        assert inside in parser and (isinstance(parser[inside], (dict, list)) or inside == name), name
        parser[name] = value
    return parser


@pytest.mark.parametrize(("bundle", "config", "overrides"), settings_of("pretraining"))
def test_networks_and_crops_of_pretrainings_can_be_built(bundle, config, overrides):
    parser = parsed(bundle, config, overrides)
    small = {"widths": [2, 4, 8, 16]} if "widths" in parser else {"width": 4}
    for name, value in small.items():
        parser[name] = value
    parser["imports"] = [*parser["imports"], "$import monai_ssl.bundle"]
    without_data(parser)
    assert parser.get_parsed_content("network_def").steps
    for id in ("crops", "views"):
        assert id not in parser or parser.get_parsed_content(id) is not None


@pytest.mark.parametrize(("bundle", "config", "overrides"), settings_of("tasks"))
def test_transforms_of_tasks_can_be_built(bundle, config, overrides):
    parser = parsed(bundle, config, overrides)
    assert all(callable(one) for one in parser.get_parsed_content("train#random_transforms"))
    assert isinstance(parser.get_parsed_content("task"), Task)
