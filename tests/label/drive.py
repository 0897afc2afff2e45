"""What an annotator's viewer does: ask, infer, submit labels, train, infer again. URL STUDIES LABELS BUNDLE LOG."""

import gzip
import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

import monai.bundle
import nibabel
import numpy as np
import requests

MODEL = "thorax"


def main(url: str, studies: str, labels: str, bundle: str, log: str) -> None:
    info = wait_for(url)
    assert info["models"][MODEL]["labels"] == {"lung": 1, "heart": 2}, info["models"]
    assert info["models"][MODEL]["dimension"] == 3 and MODEL in info["trainers"], info["trainers"]
    print(f"/info: {MODEL} with {info['models'][MODEL]['labels']}, and a trainer")
    before = infer(url, Path(studies) / "scan3.nii.gz")

    for path in sorted(Path(labels).glob("scan[012].nii.gz")):
        with path.open("rb") as file:
            saved = requests.put(
                f"{url}/datastore/label?image={path.name.removesuffix('.nii.gz')}&tag=final", files={"label": file}
            )
        assert saved.ok, saved.text
    print(f"/datastore: {requests.get(f'{url}/datastore/').json()['completed']} scans labeled")

    model = Path(bundle) / "models/model.pt"
    written = model.stat().st_mtime_ns
    train(url, {"max_epochs": 2, "device": "cpu", "val_split": 0.34, "multi_gpu": False})
    assert "Restored all variables from" in Path(log).read_text(), "MONAI Label did not start from models/model.pt"
    assert model.stat().st_mtime_ns > written, "training did not replace models/model.pt"
    print("/train: two epochs from models/model.pt, which was replaced by the better one")
    after = infer(url, Path(studies) / "scan3.nii.gz")
    assert (before != after).any(), "the server still infers with the untrained model"
    assert (after == stock_inference(bundle, Path(studies) / "scan3.nii.gz")).all()
    print("inference.json under `monai.bundle run` gives the same voxels")


def wait_for(url: str, seconds: int = 120) -> dict:
    for _ in range(seconds):
        try:
            return requests.get(f"{url}/info/", timeout=10).json()
        except requests.ConnectionError:
            time.sleep(1)
    raise TimeoutError(f"No server at {url} after {seconds} s.")


def infer(url: str, image: Path) -> np.ndarray:
    stem = image.name.removesuffix(".nii.gz")
    answer = requests.post(
        f"{url}/infer/{MODEL}?image={stem}&output=image", files={"params": (None, '{"device": "cpu"}')}, timeout=300
    )
    assert answer.ok, answer.text
    got = nibabel.Nifti1Image.from_stream(io.BytesIO(decompressed(answer.content)))
    asked = nibabel.load(image)
    assert got.shape == asked.shape, (got.shape, asked.shape)
    np.testing.assert_allclose(got.affine, asked.affine)
    classes = np.asarray(got.dataobj)
    assert set(np.unique(classes)) <= {0, 1, 2}, np.unique(classes)
    counts = np.bincount(classes.ravel().astype(int))
    print(f"/infer: {stem}, shape {got.shape} and affine of the scan, voxels by value {counts}")
    return classes


def stock_inference(bundle: str, image: Path) -> np.ndarray:
    with tempfile.TemporaryDirectory() as scan, tempfile.TemporaryDirectory() as out:
        shutil.copy(image, scan)
        monai.bundle.run(
            config_file=f"{bundle}/configs/inference.json",
            logging_file=False,
            bundle_root=bundle,
            dataset_dir=scan,
            output_dir=out,
            device="cpu",
        )
        (written,) = Path(out).glob("*.nii.gz")
        return np.asarray(nibabel.load(written).dataobj)


def decompressed(content: bytes) -> bytes:
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def train(url: str, request: dict) -> None:
    started = requests.post(f"{url}/train/{MODEL}", json=request)
    assert started.ok, started.text
    for _ in range(1800):
        # not `check_if_running`: the server says no before the process of the training is there, too
        status = requests.get(f"{url}/train/?all=true").json()
        task = status[-1] if isinstance(status, list) else status
        if task["status"] not in ("SUBMITTED", "RUNNING"):
            break
        time.sleep(1)
    assert task["status"] == "DONE", task["details"]


if __name__ == "__main__":
    main(*sys.argv[1:])
