"""``python -m monai_ssl discover``."""

import pytest

from monai_ssl.cli import main
from monai_ssl.networks import ConvEncoder, EncoderClassifier
from monai_ssl.samples.phantom import write_phantom_cohort
from monai_ssl.store import prepare
from monai_ssl.transfer import ModelCard, export_weights
from monai_ssl.words import WordList


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("discover")
    write_phantom_cohort(root / "scans", patients=5, shape=(40, 40, 32))
    prepare(root / "scans", root / "store")
    return root / "store"


def discover(store, out, *words):
    return main(["discover", str(store), "--out", str(out), "--words", "3", "--size", "16", "16", "16", *words])


def test_writes_the_words_of_the_training_patients(store, tmp_path, capsys):
    assert discover(store, tmp_path / "words.json", "--validation", "0.2", "--patients", "3") == 0
    said = capsys.readouterr().out
    assert "3 words of 3 training and 1 validation patients, compared by the intensity profile" in said
    found = WordList.load(tmp_path / "words.json")
    assert len(found.words) == 3 and found.request["options"]["patients"] == 3
    assert all(len(w.windows) == 3 and len(w.validation) == 1 for w in found.words)


def test_compares_by_an_encoder(store, tmp_path, capsys):
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": 1, "widths": [2, 4]}
    weights = tmp_path / "encoder.safetensors"
    export_weights(
        EncoderClassifier(ConvEncoder(widths=(2, 4)), 2), weights, ModelCard("autoencoder", "paper", recipe, "ct")
    )
    out = tmp_path / "words.json"
    assert (
        discover(store, out, "--weights", str(weights), "--whole-size", "16", "16", "16", "--background", "none") == 0
    )
    assert f"compared by the encoder of {weights}" in capsys.readouterr().out
    assert WordList.load(out).request["background"] == "None"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patients", "9"], "only 5 can be trained on"),
        (["--words-per-reference", "0"], "`words_per_reference` of a word list must be at least 1"),
    ],
)
def test_mistakes_end_in_a_sentence(store, tmp_path, capsys, words, message):
    assert discover(store, tmp_path / "words.json", "--validation", "0", *words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "words.json").exists()


def test_weights_that_are_not_there_are_refused_with_those_that_are(store, tmp_path, capsys):
    with pytest.raises(SystemExit):
        discover(store, tmp_path / "words.json", "--weights", "none.safetensors")
    assert "There are no weights `none.safetensors`" in capsys.readouterr().err
    assert not (tmp_path / "words.json").exists()


def test_a_folder_that_is_no_store_is_not_prepared_on_the_way(tmp_path, capsys):
    assert discover(tmp_path, tmp_path / "words.json") == 2
    assert "is not a store" in capsys.readouterr().err
