"""Every bundle on disk meets what MONAI and its model zoo verify before they take one."""

import functools
import json
import re
import shutil
from pathlib import Path

import monai.bundle
import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_ssl import __version__
from monai_ssl.bundle_folders import bundle_folder, shipped_bundles
from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.study.plan.without_memory import without_memory
from monai_ssl.zoo.contents import bundle_contents

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

SCHEMA = Path(__file__).parent / "zoo/metadata_schema.json"
HEADINGS = ("Data", "Input", "Output", "Performance", "MONAI Bundle Commands", "References", "License")
WORDS_OF_A_PAGE = ("data", "licen", "python -m monai.bundle")
every_bundle = pytest.mark.parametrize("name", shipped_bundles())

pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Where bundles lie as they are packed."""
    root = tmp_path_factory.mktemp("packed")

    @functools.cache
    def of(name):
        for path, content in bundle_contents(bundle_folder(name)).items():
            (root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (root / name / path).write_bytes(content)
        return root / name

    return of


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    nibabel.save(nibabel.Nifti1Image(phantom_ct(0, (16, 16, 16))[0], np.eye(4)), root / "scan.nii.gz")
    return root


def metadata(bundle):
    return json.loads((bundle / "configs/metadata.json").read_text())


def inference(bundle):
    return {"meta_file": str(bundle / "configs/metadata.json"), "config_file": str(bundle / "configs/inference.json")}


@every_bundle
def test_metadata_follows_the_schema(name, packed, tmp_path):
    # MONAI downloads the schema that the metadata name, unless the file is there
    shutil.copy(SCHEMA, tmp_path / "schema.json")
    monai.bundle.verify_metadata(inference(packed(name))["meta_file"], filepath=tmp_path / "schema.json")


def test_the_schema_refuses_metadata_with_a_gap(packed, tmp_path):
    shutil.copy(SCHEMA, tmp_path / "schema.json")
    for wrong in ({"version": None}, {"version": "one"}, {"network_data_format": {"inputs": {}, "outputs": {}}}):
        (tmp_path / "metadata.json").write_text(json.dumps(metadata(packed("pcrlv2")) | wrong))
        with pytest.raises(ValueError, match="Failed validating"):
            monai.bundle.verify_metadata(str(tmp_path / "metadata.json"), filepath=tmp_path / "schema.json")


@every_bundle
def test_files_versions_and_page_are_those_of_the_zoo(name, packed):
    bundle = packed(name)
    needed = ("LICENSE", "configs/inference.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt")
    assert not [file for file in needed if not (bundle / file).is_file()]
    described = metadata(bundle)
    assert described["version"] in described["changelog"]
    assert described["required_packages_version"]["monai-ssl"] == __version__
    assert f"version: {__version__}" in CONSTRAINTS.with_name("CITATION.cff").read_text()
    pinned = dict(line.split("==") for line in CONSTRAINTS.read_text().split() if "==" in line)
    for package, number in (("monai", "monai"), ("torch", "pytorch"), ("numpy", "numpy")):
        assert described[f"{number}_version"] == pinned[package]
    assert not list(bundle.rglob("*.py")), "a bundle runs code of the package only"
    assert all(path.stat().st_size < 25e6 for path in bundle.glob("**/*") if path.parent.name in ("configs", "docs"))
    page = (bundle / "docs/README.md").read_text()
    assert not [word for word in WORDS_OF_A_PAGE if word not in page.lower()]
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    assert set(HEADINGS) <= set(headings) and all(headings.count(heading) == 1 for heading in HEADINGS)


@every_bundle
def test_targets_are_named_in_full(name):
    """A bare name is MONAI's class where both have one, with no more than a warning."""
    for path in bundle_folder(name).glob("configs/*.json"):
        for target in re.findall(r'"_target_": "([^"]+)"', path.read_text()):
            assert "." in target or target[0] in "$@", f"{path}: {target}"


@every_bundle
@pytest.mark.parametrize("place", ["checkout", "packed"])
def test_inference_has_the_properties_that_monai_asks_for(name, place, packed, scans, tmp_path):
    bundle = packed(name) if place == "packed" else bundle_folder(name)
    flow = ConfigWorkflow(
        str(bundle / "configs/inference.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(scans),
        device="cpu",
        initialize=["$None"],  # the weights are not there yet
    )
    flow.initialize()
    assert flow.check_properties() == []


@pytest.mark.slow
@every_bundle
def test_the_network_takes_and_gives_what_the_metadata_say(name, packed):
    # shapes need neither weights nor time; networks run with values elsewhere
    with without_memory():
        monai.bundle.verify_net_in_out(
            "network_def", **inference(packed(name)), bundle_root=str(packed(name)), device="meta", p=1, n=1, any=16
        )


def build(bundle):
    parser = ConfigParser()
    parser.read_config(inference(bundle)["config_file"])
    parser["bundle_root"] = str(bundle)
    return parser.get_parsed_content("network_def")


@pytest.mark.slow
# checks of sizes are constant in a trace, which is what a trace is
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["segmentation", "pcrlv2"])
def test_exports_to_torchscript_and_loads_by_name(name, packed, tmp_path):
    source = packed(name)
    bundle = tmp_path / name
    shutil.copytree(source, bundle)
    (bundle / "models").mkdir(exist_ok=True)
    network = build(source).eval()
    torch.save(network.state_dict(), bundle / "models/model.pt")
    shape = metadata(source)["network_data_format"]["inputs"]["image"]
    monai.bundle.ckpt_export(
        "network_def",
        filepath=tmp_path / "model.ts",
        ckpt_file=str(bundle / "models/model.pt"),
        **inference(bundle),
        bundle_root=str(bundle),
        use_trace=True,
        input_shape=[1, shape["num_channels"], *shape["spatial_shape"]],
    )
    x = torch.rand(1, shape["num_channels"], *shape["spatial_shape"])
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(x), network(x), atol=1e-4, rtol=1e-3)
    loaded = monai.bundle.load(name, model=build(source), bundle_dir=tmp_path)
    assert torch.equal(next(loaded.parameters()), next(network.parameters()))
