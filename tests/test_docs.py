"""The site: links lead somewhere, keys and commands exist, everything has its page and picture, tutorials run."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import monai_ssl.transforms as transforms
from monai_ssl.transforms.puzzles.task import RandTask

ROOT = Path(__file__).parents[1]
MARKDOWN = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "bundles/*.md", "bundles/*/docs/*.md", "studies/*.md", "tutorials/*.md")
    for path in ROOT.glob(pattern)
)
TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9]*.py"))
OPTIONS_OF_MONAI = {"config_file", "meta_file", "logging_file", "bundle_root", "filepath", "ckpt_file", "key_in_ckpt"}


def part(name):
    """A script of ``docs/``, which is no package."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.insert(0, str(ROOT / "docs"))
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


links, figures, hyperparameters = part("site_links"), part("make_figures"), part("site_hyperparameters")


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert links.broken_links(path) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "there.md").write_text("# A Title, twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-title-twice) [c](gone.md) [d](there.md#gone) [e](https://x.org) [f](#me)\n"
        "# Me\n```\n[g](in_code.md)\n```\n"
    )
    assert links.broken_links(page) == ["gone.md", "there.md#gone"]


def test_links_move_with_their_page(tmp_path):
    source = tmp_path / "repo/bundles/x/docs/README.md"
    source.parent.mkdir(parents=True)
    source.write_text("[a](../../README.md#t) [`b`](../LICENSE) [c](#t) [d](https://x.org)\n```\n[e](x.md)\n```\n")
    pages = {source: "methods/x.md", tmp_path / "repo/bundles/README.md": "bundles.md"}
    links.copy_page(source, tmp_path / "site/methods/x.md", pages)
    copied = (tmp_path / "site/methods/x.md").read_text()
    assert copied == "[a](../bundles.md#t) `b` [c](#t) [d](https://x.org)\n```\n[e](x.md)\n```\n"


def commands():
    """Every command of MONAI on a bundle in the pages: the bundle's configurations and the options."""
    for path in MARKDOWN:
        for block in re.findall(r"```(?:bash)?\n(.*?)```", path.read_text(), re.DOTALL):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                command = line.partition("-m monai.bundle run ")[2].partition("   #")[0]
                configs = re.findall(r"bundles/[a-z]\w+/configs/\w+\.json", command)
                if configs:
                    options = re.findall(r"--([A-Za-z_][\w#]*)", command)
                    yield pytest.param(configs, options, id=f"{path.relative_to(ROOT)}-{configs[0]}")


@pytest.mark.parametrize(("configs", "options"), commands())
def test_commands_name_what_the_bundle_has(configs, options):
    known = set().union(*(json.loads((ROOT / config).read_text()) for config in configs))
    assert {option.split("#")[0] for option in options} - OPTIONS_OF_MONAI <= known


def test_the_table_of_rooms_is_that_of_the_tree():
    from rooms import PAGE, with_table

    assert with_table(PAGE.read_text()) == PAGE.read_text(), "`python docs/rooms.py` writes it anew"


@pytest.mark.slow
def test_the_table_of_networks_is_that_of_their_classes():
    from network_table import PAGE, with_table

    assert with_table(PAGE.read_text()) == PAGE.read_text(), "`python docs/network_table.py` writes it anew"


def test_there_are_commands():
    assert len(list(commands())) > 40


def test_every_method_has_its_hyperparameters():
    assert sorted(hyperparameters.table()) == figures.methods()


@pytest.mark.parametrize("method", figures.methods())
def test_keys_of_hyperparameters_exist(method):
    configs = hyperparameters.configs_of(method)
    for paper, key in hyperparameters.table()[method]:
        answers = [hyperparameters.in_words(config, key) for config in configs]
        assert answers != ["not here", "not here"], f"{method}: `{key}` for {paper}"


def test_defaults_come_from_bundle_or_class():
    moco, _ = hyperparameters.configs_of("moco")
    assert hyperparameters.default_of(moco, "network_def#momentum") == 0.999
    assert hyperparameters.default_of(moco, "crops#0#iou_threshold") == moco["crops"][0]["iou_threshold"]
    with pytest.raises(KeyError, match="has no argument `tau` for the key `network_def#tau`"):
        hyperparameters.default_of(moco, "network_def#tau")
    with pytest.raises(KeyError, match="The bundle has no `tau`"):
        hyperparameters.default_of(moco, "tau")
    page = hyperparameters.hyperparameter_page()
    assert (
        "| m, momentum | `network_def#momentum` | `0.999` | `0.999` |" in page
        and "not here" not in page.split("dira")[0]
    )


def drawable():
    """Every random transform of the package that does something by itself; words need a list, pairs a visit."""
    for name in transforms.__all__:
        kind = getattr(transforms, name)
        others = ("RandBatchTransform", "RandTask", "RandOneOfd", "RandWordCropd", "RandContrastPaird")
        if name.startswith("Rand") and isinstance(kind, type) and name not in others:
            yield name


def test_every_transform_has_a_picture():
    assert sorted({**figures.TASKS, **figures.DISTURBANCES}) == sorted(drawable())
    assert all(not issubclass(getattr(transforms, name), RandTask) for name in figures.DISTURBANCES)


@pytest.mark.parametrize("name", sorted(drawable()))
def test_pictures_show_a_change(name, tmp_path):
    out = tmp_path / "a.png"
    figures.draw_transform(name, out, draws=2)
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=float)
    width = pixels.shape[1] // 3
    assert np.abs(pixels[:, :width] - pixels[:, width : 2 * width]).mean() > 1, "the result looks like the input"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / "docs/build_site.py", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {path.relative_to(tmp_path / "html").as_posix() for path in (tmp_path / "html").rglob("*.html")}
    assert {f"methods/{name}.html" for name in figures.methods()} <= pages
    assert {f"tutorials/{path.stem}.html" for path in TUTORIALS} <= pages
    method = (tmp_path / "html/methods/pcrlv2.html").read_text()
    assert "pcrlv2.png" in method and "sample-major" in method


def test_tutorials_are_these():
    assert [path.stem.partition("_")[0] for path in TUTORIALS] == list("1234567")
    new_method = (ROOT / "tutorials/4_new_method.py").read_text()
    body = new_method.partition("# %%\nclass ")[2].partition("# %%")[0]
    assert len([line for line in body.splitlines() if line.strip()]) < 60


def test_the_makefile_makes_a_notebook_of_a_tutorial(tmp_path):
    drawn = "import matplotlib.pyplot as plt\nplt.plot([6, 7])\nplt.show()\n"
    assert not [script.name for script in TUTORIALS if "matplotlib.use" in script.read_text()], "no picture is shown"
    (command,) = re.findall(r"/(jupytext .*) \[0-9\]", (ROOT / "Makefile").read_text())
    (tmp_path / "tiny.py").write_text("# %% [markdown]\n# A question\n\n# %%\nprint(6 * 7)\n\n# %%\n" + drawn)
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "tiny.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
        | {"IPYTHONDIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads((tmp_path / "tiny.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert outputs[0]["text"] == ["42\n"] and "image/png" in outputs[-1]["data"]


def test_the_site_shows_what_a_tutorial_prints_and_draws(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    site = part("site_tutorials")
    script = tmp_path / "9_tiny.py"
    drawn = "import matplotlib.pyplot as plt\nplt.plot([6, 7])\nplt.show()\n"
    script.write_text(
        "# %% [markdown]\n# # Tiny\n\n# %%\nfrom pathlib import Path\nprint(6 * 7)\n"
        f"print(Path('a').resolve())\n\n# %%\n{drawn}"
    )
    page = site.tutorial_page(script, tmp_path)
    assert "```text\n42\na\n```" in page and (tmp_path / "9_tiny_2_0.png").read_bytes()[1:4] == b"PNG"
    assert "![what the cell above draws](9_tiny_2_0.png)" in page
    assert site.shortened("\n".join(map(str, range(100)))).split("\n")[19:22] == ["19", "... 60 lines more ...", "80"]
    assert set(site.NOT_EXECUTED) <= {path.stem for path in TUTORIALS}


# what the site executes is tested by building it
AS_SCRIPTS = [path for path in TUTORIALS if path.stem in ("1_quick_start", *part("site_tutorials").NOT_EXECUTED)]


@pytest.mark.slow
@pytest.mark.parametrize("script", AS_SCRIPTS, ids=lambda path: path.stem)
def test_tutorials_run(script, tmp_path):
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
