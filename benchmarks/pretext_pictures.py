"""The data of `studies/pcrlv1_table_1.json`: radiographs that are turned, and pairs of patches of them.

    python benchmarks/pretext_pictures.py studies/data/nih_chestxray14 studies/data

`nih_chestxray14_rotated` has each radiograph turned by 0, 90, 180 or 270 degrees, `nih_chestxray14_pairs` one patch of
each, of a grid of 14 x 14, and to the right of it one of its eight neighbors. Both have a `datalist.csv`: image, label
(`r90`, `top_left`), patient, section. What is drawn of an image follows from its name.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from monai_ssl.files import csv_text

TURNS = ("r0", "r90", "r180", "r270")
DIRECTIONS = {
    "top_left": (-1, -1),
    "top": (-1, 0),
    "top_right": (-1, 1),
    "left": (0, -1),
    "right": (0, 1),
    "bottom_left": (1, -1),
    "bottom": (1, 0),
    "bottom_right": (1, 1),
}
"""Rows and columns from a patch to its neighbor."""
GRID = 14


def turned(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Return an image (H, W) turned counterclockwise, and how far."""
    turns = int(rng.integers(4))
    return np.rot90(image, turns), TURNS[turns]


def pair(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Return a patch of an image (H, W) and a neighbor to the right of it (h, 2 w), and where the neighbor lay."""
    height, width = (side // GRID for side in image.shape)
    name = list(DIRECTIONS)[rng.integers(len(DIRECTIONS))]
    places = [[at for at in range(GRID) if 0 <= at + step < GRID] for step in DIRECTIONS[name]]
    row, column = (int(rng.choice(of)) for of in places)
    down, right = DIRECTIONS[name]
    both = [(row, column), (row + down, column + right)]
    return np.hstack([image[r * height :, c * width :][:height, :width] for r, c in both]), name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="images and datalist.csv: image, patient, section")
    parser.add_argument("out", type=Path, help="gets the two folders")
    args = parser.parse_args()
    with (args.data / "datalist.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    for folder, make in (("nih_chestxray14_rotated", turned), ("nih_chestxray14_pairs", pair)):
        rows = [("image", "label", "patient", "section")]
        (args.out / folder).mkdir(parents=True, exist_ok=True)
        for case in tqdm(listed, desc=folder):
            seed = hashlib.sha256(f"{folder}/{case['image']}".encode()).digest()
            image = np.asarray(Image.open(args.data / case["image"]).convert("L"))
            picture, label = make(image, np.random.default_rng(list(seed)))
            name = f"{Path(case['image']).stem}.png"
            Image.fromarray(np.ascontiguousarray(picture)).save(args.out / folder / name)
            rows.append((name, label, case["patient"], case.get("section", "")))
        (args.out / folder / "datalist.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
