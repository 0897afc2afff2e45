"""Memory of a training step of each bundle with its defaults, into monai_ssl/zoo/resources.json and resources.md.

python docs/resources.py             # counts what is not in the table yet, then writes the page; all take half an hour
python docs/resources.py simclr mae  # counts these anew
python docs/resources.py --check     # counts and runs steps of three presets on this CPU, for the error in the page
python docs/resources.py --page      # the page alone
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from make_figures import write_visits
from PIL import Image
from resources_check import checked

from monai_ssl.cli.plan import first_step
from monai_ssl.cli.preview import build, read_bundle
from monai_ssl.engines.memory import RESERVE, step_memory
from monai_ssl.files import read_json, write_json
from monai_ssl.samples.phantom import phantom_xray, write_phantom_cohort
from monai_ssl.store import prepare
from monai_ssl.zoo.resources import TABLE, gigabytes, window_and_batch

DOCS = Path(__file__).resolve().parent
BUNDLES, PAGE = DOCS.parent / "bundles", DOCS / "resources.md"
HEAD = (
    *("bundle", "configuration", "window", "batch", "encoder, million parameters", "trained in all"),
    "GB",
)
SAMPLES = {"swav": {"windows_per_scan": 1024}}
"""More windows of a scan, for methods that refuse fewer samples than clusters."""
INTRODUCTION = """# What a training step needs

GPU memory of a step of each bundle with its defaults, **counted, not measured on a GPU**: network, windows, views,
activations, gradients and optimizer state, from shapes alone (`monai_ssl.engines.memory`, what
`python -m monai_ssl plan STORE --bundle NAME` counts for your scans and settings), in mixed precision (bfloat16), the
default on a GPU. What libraries take inside an operation, the next batch, what the allocator keeps and the driver come
on top: a GPU should have a quarter more (`plan` fills {reserve:.0%} of it). Where the table says more than you have,
`plan` proposes what to lower first. Banks of vectors and clusters grow with the number of scans; here they are for a
few. *Time of a step*: none stands here, since no GPU was at hand; `python -m monai_ssl benchmark` measures it where you
train.

"""
ERROR = """
## How far off the count is

Three iterations of the trainer on a CPU, views included, with small presets, in float32. *Counted* is the column above
for these settings; *tensors* is the most that lived at once while the iterations ran; *allocated* is the most that
torch's profiler saw allocated, also inside of operations of the CPU's libraries. In MB.

| bundle | counted | tensors | counted / tensors | allocated | counted / allocated |
|---|---|---|---|---|---|
"""


def configurations() -> list[Path]:
    """Return what can be pre-trained: ``pretrain*.json`` of all bundles."""
    return sorted(BUNDLES.glob("*/configs/pretrain*.json"))


def write_stores(root: Path) -> dict[str, str]:
    """Write generated scans as large as the windows, a store of each kind, and return their places by kind."""
    write_phantom_cohort(root / "volumes", patients=8, shape=(192, 192, 160))
    for number in range(32):
        path = root / "images" / f"patient{number}" / "image.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(phantom_xray(number, (256, 256))[0].T).save(path)
    write_visits(root / "visits")
    for kind in ("volumes", "images", "visits"):
        prepare(root / kind, root / f"{kind}_store")
    return {kind: str(root / f"{kind}_store") for kind in ("volumes", "images", "visits")}


def kind_of(config: Path) -> str:
    """Return which of the stores a configuration takes."""
    if config.parts[-3] == "cross_contrast":
        return "visits"
    return "images" if "2d" in config.stem else "volumes"


def settings_of(config: Path, store: str, out: str) -> dict[str, Any]:
    """Return the overrides for counting: places, samples enough to begin with, and nothing that changes a step."""
    places: dict[str, Any] = {"bundle_root": str(config.parents[1]), "dataset_dir": store, "output_dir": out}
    places |= SAMPLES.get(config.parts[-3], {})
    return {**places, "num_workers": 0, "validation": 0.0, "device": "cpu"}


def row(config: Path, store: str, **more: Any) -> dict[str, Any]:
    """Return what a step of a configuration needs, or under ``why`` the reason that it cannot be told.

    Args:
        config: of a bundle.
        store: of the kind that it takes.
        more: overrides.
    """
    with tempfile.TemporaryDirectory() as out:
        settings = settings_of(config, store, out) | more
        parser = read_bundle([config], settings)
        told: dict[str, Any] = {"window": list(build(parser, "roi_size")), "batch": int(build(parser, "batch_size"))}
        try:
            trainer, windows = first_step(config, settings)
            told["bytes"] = step_memory(trainer, windows, amp=True)
        except ValueError as error:
            return {**told, "why": str(error)}
    method = trainer.method
    told["encoder"] = sum(p.numel() for p in method.encoder.parameters())
    told["trained"] = sum(p.numel() for p in method.parameters() if p.requires_grad)
    return told


def count(names: list[str]) -> None:
    """Count the bundles with these names anew, or what the table lacks; each row is written as soon as it is there."""
    table = read_json(TABLE, {"bundles": {}})
    with tempfile.TemporaryDirectory() as folder:
        stores = write_stores(Path(folder))
        for config in configurations():
            bundle, name = config.parts[-3], config.stem
            if bundle in names if names else name not in table["bundles"].get(bundle, {}):
                table["bundles"].setdefault(bundle, {})[name] = row(config, stores[kind_of(config)])
                table["torch"] = torch.__version__.partition("+")[0]
                write_json(TABLE, table)
                print(bundle, name, table["bundles"][bundle][name], flush=True)


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "|---" * len(HEAD) + "|"
    for bundle, told in sorted(read_json(TABLE)["bundles"].items()):
        for name, need in sorted(told.items()):
            cells = [f"[{bundle}](../bundles/{bundle}/docs/README.md)", f"`{name}`", *window_and_batch(need)]
            if "why" in need:
                yield "| " + " | ".join([*cells, "", "", need["why"]]) + " |"
                continue
            cells += [f"{need[key] / 1e6:.1f}" for key in ("encoder", "trained")]
            yield "| " + " | ".join([*cells, gigabytes(need["bytes"])]) + " |"


def error_lines() -> Iterator[str]:
    """Yield the lines of the table of errors."""
    for name, told in read_json(TABLE)["checked"].items():
        cells = [f"{told['counted'] / 1e6:.1f}"]
        for key in ("tensors", "allocated"):
            cells += [f"{told[key] / 1e6:.1f}", f"{told['counted'] / told[key]:.3f}"]
        yield "| " + " | ".join([name, *cells]) + " |"


def page() -> str:
    """Return the text of the page."""
    return INTRODUCTION.format(reserve=RESERVE) + "\n".join(lines()) + "\n" + ERROR + "\n".join(error_lines()) + "\n"


def main() -> None:
    """Do what the lines at the top say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help="to count anew; default: what the table lacks")
    parser.add_argument("--check", action="store_true", help="count and run steps of three presets instead")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.check:
        with tempfile.TemporaryDirectory() as folder:
            write_json(TABLE, {**read_json(TABLE), "checked": checked(write_stores(Path(folder)))})
    elif not args.page:
        count(args.bundles)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
