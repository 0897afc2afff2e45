"""`new-method` writes a method that trains, publishes and infers as it is."""

import sys

import pytest
from method_cases import COMMON, SIZES, parsed

from monai_ssl.__main__ import main
from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.transfer import read_card
from monai_ssl.zoo import new_method


def test_what_is_written_trains_publishes_and_infers(tmp_path, cohort, monkeypatch, capsys):
    assert main(["new-method", "swapped_words", "--root", str(tmp_path), "--package", "lab_a.methods"]) == 0
    said = capsys.readouterr().out
    assert "`SwappedWords.losses`" in said
    assert f"PYTHONPATH={tmp_path} python -m monai_ssl pretrain {tmp_path}/bundles/swapped_words --data" in said
    monkeypatch.syspath_prepend(str(tmp_path))
    bundle, out = tmp_path / "bundles/swapped_words", tmp_path / "out"
    places = {"bundle_root": str(bundle), "dataset_dir": str(cohort), "output_dir": str(out), "device": "cpu"}
    training = parsed(bundle / "configs/pretrain.json", {**places, **COMMON, **SIZES[3], "lr": 0.1})
    training.get_parsed_content("pretrain")
    card = read_card(out / "encoder.safetensors")
    assert card.method == "swapped_words" and card.iterations > 0
    inference = parsed(
        bundle / "configs/inference.json",
        {**places, "dataset_dir": str(cohort / "ct"), "weights": str(out / "model.pt"), "modality": "ct"},
    )
    for key in ("initialize", "run"):
        inference.get_parsed_content(key)
    assert len((out / "features.csv").read_text().splitlines()) == len(list((cohort / "ct").rglob("*.nii.gz")))
    tables = sys.modules["lab_a.methods.swapped_words"].__all__
    assert tables == ["SwappedWords"] and (tmp_path / "tests/methods/test_swapped_words.py").is_file()


def test_in_a_checkout_the_table_of_bundles_gets_a_row(tmp_path):
    (tmp_path / "monai_ssl/methods").mkdir(parents=True)
    (tmp_path / "bundles").mkdir()
    page = bundle_folder("pcrlv2").parent / "README.md"
    (tmp_path / "bundles/README.md").write_text(page.read_text())
    written = new_method("moco_v9", tmp_path)
    assert written[0] == tmp_path / "monai_ssl/methods/moco_v9.py"
    names = [line[3:].partition("]")[0] for line in written[-1].read_text().splitlines() if line.startswith("| [")]
    place = names.index("moco_v9")
    assert names[place - 1] == "moco" and names[:place] + names[place + 1 :] == [
        line[3:].partition("]")[0] for line in page.read_text().splitlines() if line.startswith("| [")
    ]
    with pytest.raises(ValueError, match="exists already"):
        new_method("moco_v9", tmp_path)
    for name in ("MoCo", "class", "../x", "2d"):
        with pytest.raises(ValueError, match="`name` becomes a module"):
            new_method(name, tmp_path)
    with pytest.raises(ValueError, match="`package` is a dotted name"):
        new_method("x", tmp_path, "../evil")


def test_the_page_says_what_the_command_says():
    from monai_ssl.cli.new_method import NEXT

    page = (bundle_folder("pcrlv2").parents[1] / "docs/architecture.md").read_text()
    (last,) = (line for line in NEXT.splitlines() if line.startswith("4."))
    assert last in page
