"""The demonstration: whom pre-training never sees, and that its last sentence says no more than the numbers."""

import sys
from pathlib import Path

import pytest

from monai_ssl.samples.phantom import write_phantom_cohort

sys.path.insert(0, str(Path(__file__).parents[1] / "tutorials"))
demo = pytest.importorskip("demo")


def test_the_patient_asked_about_is_left_out_of_the_store_and_is_not_the_one_that_labels_come_from(
    tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(demo, "run", lambda *words: said.extend(map(str, words)))
    write_phantom_cohort(tmp_path, patients=3, shape=(16, 16, 16))
    demo.prepare(tmp_path, tmp_path / "store")
    cases = demo.find_cases(tmp_path)
    left_out = [said[at + 1] for at, word in enumerate(said) if word == "--exclude"]
    assert any(Path(cases["asked"]["image"]).match(pattern) for pattern in left_out)
    assert not any(Path(cases["known"]["image"]).match(pattern) for pattern in left_out)
    assert all((tmp_path / case[key]).is_file() for case in cases.values() for key in ("image", "label"))


def test_the_preview_shows_the_windows_that_are_trained_on(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(demo, "run", lambda *words: said.append(list(map(str, words))))
    monkeypatch.setattr(demo, "run_together", lambda commands: said.extend(list(map(str, c)) for c, _ in commands))
    demo.pretrain("simclr", tmp_path, tmp_path / "store")
    windows = [{word: words[at + 1] for at, word in enumerate(words) if "size" in word} for words in said]
    assert len(windows) == 1 + len(demo.SEEDS) and windows[0] and all(of == windows[0] for of in windows)


@pytest.mark.parametrize("words", [["--help"], ["out", "nosuch"], ["out", "simclr", "more"], ["--nosuch"]])
def test_help_and_wrong_words_begin_nothing(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo.py", *words])
    monkeypatch.setattr(demo, "prepare", lambda *_: pytest.fail("it begins"))
    with pytest.raises(SystemExit) as ended:
        demo.main()
    assert ended.value.code == (0 if words == ["--help"] else 2) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pretrained", "tuned", "told"),
    [
        ([0.7, 0.8], [0.8, 0.9], ("better than every untrained one", "0.300 Dice above", "in every seed")),
        ([0.1, 0.2], [0.3, 0.4], ("worse than every untrained one", "0.200 Dice below", "in every seed")),
        ([0.5, 0.8], [0.5, 0.6], ("not set apart", "0.000 Dice above", "seeds differ by as much")),
    ],
)
def test_the_last_sentence_says_what_the_numbers_show(pretrained, tuned, told):
    probed = {10: {"untrained": [0.4, 0.5, 0.6], "pre-trained": pretrained}}
    curves = {"from scratch": [[0.1, 0.5], [0.1, 0.6]], "pre-trained": [[0.1, end] for end in tuned]}
    said = demo.demo_result.conclusion(probed, curves)
    assert all(part in said for part in told) and "one patient" in said
