import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.tasks import DecodeLabelsd, EncodeLabelsd


def test_classes_are_numbered_by_value_whatever_the_order():
    stored = torch.tensor([[0, 1, 2, 5, 7, 9]])
    for labels in ({"b": [5, 7], "a": 2}, {"a": 2, "b": [7, 5][::-1]}):
        encoded = EncodeLabelsd("label", labels)({"label": stored})["label"]
        assert encoded.tolist() == [[0, 0, 1, 2, 2, 0]]
        assert DecodeLabelsd("label", labels)({"label": encoded})["label"].tolist() == [[0, 0, 2, 5, 5, 0]]
    assert stored.tolist() == [[0, 1, 2, 5, 7, 9]]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8, unique=True))
def test_decoding_undoes_encoding(values):
    labels = {str(value): value for value in values}
    stored = torch.tensor([[0, *values]])
    encoded = EncodeLabelsd("label", labels)({"label": stored})
    assert sorted(encoded["label"].flatten().tolist()) == list(range(len(values) + 1))
    assert torch.equal(DecodeLabelsd("label", labels)(encoded)["label"], stored)


@pytest.mark.parametrize(
    "labels",
    [{}, {"background": 0, "a": 1}, {"a": 1, "b": [1, 2]}, {"a": []}, "liver", ["liver"], {"a": "1"}, {"a": 1.5}],
)
def test_bad_labels_are_refused(labels):
    with pytest.raises(ValueError, match="`labels` must give each structure its own value"):
        EncodeLabelsd("label", labels)
