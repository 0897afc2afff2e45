"""A planted name in every text of every file, and none in what is kept or shown after preparing and pre-training."""

import logging

import numpy as np
import pytest
from files import nifti, save_series, series
from method_cases import BUNDLES, parsed, small
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary, keyword_for_tag

from monai_ssl.__main__ import main
from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.store import Store

NAME = "Zebulon"
TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")


def tags_of_text():
    """Every keyword of DICOM that holds free text, but for the command and meta groups."""
    return [
        keyword
        for tag, (kind, *_) in DicomDictionary.items()
        if (kind in TEXTS and tag > 0x0008FFFF) or (kind in TEXTS and tag >> 16 == 8)
        if (keyword := keyword_for_tag(tag))
    ]


def plant(src):
    """Three patients whose names stand in every text of DICOM, NIfTI and PNG, and in folders and files."""
    folder = src / f"{NAME}_one"
    planted = {keyword: f"{NAME}^{keyword}"[:16] for keyword in tags_of_text()}
    volume = np.clip(phantom_ct(0, (40, 40, 32))[0] + 1024, 0, 4095).astype(np.uint16)
    slices = series(volume.transpose(2, 1, 0), **planted)
    for ds in slices:
        block = ds.private_block(0x0099, f"{NAME} INC", create=True)
        block.add_new(1, "LO", f"{NAME} private")
    save_series(slices, folder / f"study of {NAME}")
    for seed in range(1, 4):
        path = nifti(src / f"{NAME}{seed}" / f"{NAME}{seed}.nii", phantom_ct(seed, (40, 40, 32))[0].astype(np.int16))
        data = bytearray(path.read_bytes())
        data[148 : 148 + len(NAME)] = NAME.encode()
        path.write_bytes(bytes(data))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", NAME)
    (src / "pictures").mkdir()
    Image.fromarray(np.eye(40, dtype=np.uint8) * 200).save(src / "pictures" / f"{NAME}.png", pnginfo=text)
    (src / f"{NAME}_broken.nii").write_text(NAME)
    return len(planted)


def named_in(folder):
    """Files below a folder in whose path or bytes the name stands, in any of the usual encodings, packed or not."""
    found = []
    words = [NAME.lower().encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        content = str(path.relative_to(folder)).encode() + path.read_bytes()
        if path.suffix == ".png":
            content += b"".join(str(v).encode() for v in Image.open(path).info.values())
        if any(word in content.lower() for word in words):
            found.append(path)
    return found


@pytest.mark.bundle
def test_no_planted_name_leaves_the_private_folder(tmp_path, capfd, caplog, monkeypatch):
    src, store, out = (tmp_path / name for name in ("src", "store", "out"))
    out.mkdir()
    monkeypatch.chdir(out)
    assert plant(src) > 500
    assert named_in(src), "the search finds what is planted"
    assert main(["prepare", str(src), str(store), "--workers", "0"]) == 0
    assert main(["inspect", str(store)]) == 0
    # both name files that failed, to who ran them; nothing of it is kept outside the private folder
    assert NAME in capfd.readouterr().out
    config = BUNDLES / "pcrlv2/configs/pretrain.json"
    with caplog.at_level(logging.DEBUG):
        parser = parsed(config, small(config, store, out, num_workers=0))
        parser.get_parsed_content("initialize")
        parser.get_parsed_content("train#trainer").run()
    said = capfd.readouterr()
    assert NAME.lower() not in (said.out + said.err + caplog.text).lower()
    assert (
        (out / "mlruns.db").is_file() and (out / "encoder.safetensors").is_file() and (out / "MODEL_CARD.md").is_file()
    )
    assert (store / "sheet.png").is_file() and not named_in(out)
    public = [path for path in named_in(store) if "private" not in path.relative_to(store).parts]
    assert not public
    assert named_in(store / "private"), "who may look there can tell which scan is whose"


@pytest.mark.bundle
def test_pseudonyms_are_of_a_secret_that_others_cannot_read(tmp_path):
    for seed in range(2):
        nifti(tmp_path / "src" / f"{NAME}{seed}.nii", phantom_ct(seed, (20, 20, 16))[0].astype(np.int16))
    stores = [tmp_path / "one", tmp_path / "two"]
    for store in stores:
        assert main(["prepare", str(tmp_path / "src"), str(store), "--workers", "0"]) == 0
        assert (store / "private").stat().st_mode & 0o777 == 0o700
        for path in (store / "private").iterdir():
            assert path.name == "lock" or path.stat().st_mode & 0o777 == 0o600, path
        for path in (store / "scans").glob("*/*"):
            assert path.stat().st_mode & 0o133 == 0, path
    one, two = (set(Store(store).patients) for store in stores)
    assert len(one) == 2 and not one & two, "another store, other pseudonyms"
