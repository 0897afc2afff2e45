import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from monai_ssl.networks import ConvEncoder, PyramidUNet
from monai_ssl.transfer import ModelCard, export_weights, hash_tensors, load_weights, read_card

CARD = ModelCard(
    method="pcrlv2",
    preset="paper",
    encoder={"_target_": "monai_ssl.networks.ConvEncoder", "widths": [4, 8]},
    modality="ct",
    intensity={"window": [-1000, 1000]},
    spacing=(1.0, 1.0, 2.5),
    scans=12,
    patients=10,
    data_license="CC BY 4.0",
)


def network():
    return PyramidUNet(ConvEncoder(3, 1, (4, 8)))


def test_three_files_appear_and_names_begin_with_the_part(tmp_path):
    path = export_weights(network(), tmp_path / "new" / "w.safetensors", CARD, parts=("encoder", "decoder"))
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "MODEL_CARD.md",
        "w.safetensors",
        "w.safetensors.card.json",
    ]
    with safe_open(str(path), "pt") as file:
        assert {name.split(".")[0] for name in file.keys()} == {"encoder", "decoder"}  # noqa: SIM118
    assert json.loads((path.parent / "w.safetensors.card.json").read_text())["patients"] == 10
    text = (path.parent / "MODEL_CARD.md").read_text()
    assert "12 scans of 10 patients" in text and "CC BY 4.0" in text and "1 x 1 x 2.5 mm" in text


def test_equal_weights_are_equal_bytes(tmp_path):
    """The library writes the entries of the metadata in the order of a hash table, another one each time."""
    weights = network()
    written = {export_weights(weights, tmp_path / f"{i}.safetensors", CARD).read_bytes() for i in range(16)}
    assert len(written) == 1


def test_card_survives_the_round_trip(tmp_path):
    path = export_weights(network(), tmp_path / "w.safetensors", CARD)
    card = read_card(path)
    assert card == dataclasses.replace(CARD, tensors_sha256=card.tensors_sha256) and len(card.tensors_sha256) == 64


def test_card_of_a_newer_version_is_read_and_a_broken_one_refused():
    entries = json.loads(CARD.to_json()) | {"invented_later": 1}
    assert ModelCard.from_json(json.dumps(entries)) == CARD
    for text in ("{", "[]", "{}"):
        with pytest.raises(ValueError, match=r"card in w.safetensors cannot be read"):
            ModelCard.from_json(text, "w.safetensors")


def test_card_disagreements_are_words():
    expected = {"modality": "CT", "spacing": (1, 1, 1), "intensity": {"window": (-1000, 1000)}, "channels": None}
    assert CARD.disagreements(expected) == ["spacing is [1, 1, 1] here but was [1.0, 1.0, 2.5] in pre-training"]


def test_altered_tensors_are_refused(tmp_path):
    path = export_weights(network(), tmp_path / "w.safetensors", CARD)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="altered after the export"):
        load_weights(network(), path)


def test_hash_sees_values_names_shapes_and_types():
    base = {"a": torch.arange(4.0)}
    others = [{"a": torch.arange(4.0) + 1}, {"b": torch.arange(4.0)}, {"a": torch.arange(4.0).view(2, 2)}]
    others.append({"a": torch.arange(4.0).bfloat16()})
    assert hash_tensors(base) == hash_tensors({"a": torch.arange(8.0)[:4]})
    assert len({hash_tensors(t) for t in [base, *others]}) == 5


def test_export_refuses_other_suffixes_and_missing_parts(tmp_path):
    with pytest.raises(ValueError, match=r"name the file `\*\.safetensors`, not `w.pt`"):
        export_weights(network(), tmp_path / "w.pt", CARD)
    with pytest.raises(ValueError, match="ConvEncoder has no `decoder` to export"):
        export_weights(
            nn.ModuleDict({"encoder": ConvEncoder()})["encoder"], tmp_path / "w.safetensors", CARD, ["decoder"]
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "7", "{}", "[" * 200_000),
        *(
            json.dumps(dataclasses.asdict(CARD) | forged)
            for forged in (
                *({"method": 7}, {"modality": None}, {"encoder": ["a"]}, {"intensity": "x"}, {"versions": []}),
                *({"epochs": "many"}, {"scans": 1.5}, {"spacing": 5}, {"spacing": ["x"]}, {"spacing": [10**400]}),
            )
        ),
    ],
)
def test_a_damaged_card_is_refused_in_a_sentence(text):
    with pytest.raises(
        ValueError, match=r"The model card in w.safetensors cannot be read .*; export the weights again"
    ):
        ModelCard.from_json(text, "w.safetensors")
