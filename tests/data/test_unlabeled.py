"""Unlabeled images beside labeled ones: no patient that is held out is among them."""

import pytest
from PIL import Image

from monai_ssl.data import unlabeled_cases


def picture(path, value):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("L", (8, 8), value).save(path)
    return str(path)


@pytest.mark.parametrize(("named", "value"), [("n0001", 99), ("subject 7", 1)])
def test_all_images_of_a_held_out_patient_stay_away(tmp_path, named, value):
    """The list says the patient as the folder does, or otherwise: then a copy of the image tells."""
    pool = tmp_path / "pool"
    for number, name in enumerate(("n0001_a", "n0001_b", "n0002_a", "n0003_a"), 1):
        picture(pool / f"{name}.png", number)
    elsewhere = picture(tmp_path / "labeled/test.png", value)
    training = [{"image": str(pool / "n0003_a.png"), "label": 1, "patient": "n0003"}]
    found = unlabeled_cases(pool, training, [{"image": elsewhere, "label": 0, "patient": named}])
    assert [case["image"] for case in found] == [str(pool / "n0003_a.png"), str(pool / "n0002_a.png")]
    assert all("label" not in case for case in found)


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(ValueError, match="unlabeled_dir"):
        unlabeled_cases(tmp_path, [], [])
