"""TransVW-1 to TransVW-4 of docs/properties.md: how words are discovered, kept and read."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.transforms.crops.background import BackgroundRule
from monai_ssl.words import Described, VisualWords, WordList, WordOptions, discover_words
from monai_ssl.words.discovery import window_at
from monai_ssl.words.visual_words import acceptance
from monai_ssl.words.word_list import Window, Word


class Patient:
    """A scan in memory; bright where ``bright`` says so."""

    def __init__(self, number, shape=(1, 40, 36, 30), body=None, patient=None, values=None):
        self.key, self.shape = f"scan{number}", shape
        self.patient = f"patient{number if patient is None else patient}"
        self.body_box = body or ((0,) * (len(shape) - 1), shape[1:])
        self.values = np.ones(shape, np.float32) if values is None else values

    def __getitem__(self, where):
        return self.values[where]


def cohort(count=12, seed=0, dims=3):
    """Patients of many sizes, their bodies somewhere in the scan."""
    random = np.random.RandomState(seed)
    scans = []
    for number in range(count):
        shape = random.randint(24, 60, size=dims)
        low = random.randint(0, 5, size=dims)
        high = shape - random.randint(0, 5, size=dims)
        scans.append(Patient(number, (1, *shape.tolist()), (tuple(low.tolist()), tuple(high.tolist()))))
    return scans


def described(scans, seed=0):
    return Described(scans, np.random.RandomState(seed).rand(len(scans), 2))


def options(**changes):
    return WordOptions(**{"num_words": 5, "size": (12, 12, 8), "patients": 6, "min_distance": 4.0, **changes})


def test_neighbors_are_the_nearest_by_brute_force_and_the_reference_is_first():
    scans = cohort(30)
    train = described(scans)
    words = discover_words(train, options(num_words=20, patients=9, min_distance=1.0, words_per_reference=1)).words
    points = {scan.key: point for scan, point in zip(scans, train.features.tolist(), strict=True)}
    for word in words:
        x, y = points[word.reference]
        distance = {key: (a - x) ** 2 + (b - y) ** 2 for key, (a, b) in points.items()}
        assert [w.scan for w in word.windows] == sorted(distance, key=distance.get)[:9]
        assert word.windows[0].scan == word.reference


def test_a_twin_does_not_take_the_place_of_the_reference():
    train = Described(cohort(6), np.zeros((6, 2)))
    for word in discover_words(train, options(patients=4)).words:
        assert word.windows[0].scan == word.reference


def test_every_patient_counts_once_with_the_nearest_scan():
    scans = [Patient(number, patient=number // 2) for number in range(8)]
    train = Described(scans, np.arange(8.0)[:, None])
    for word in discover_words(train, options(num_words=3, patients=4)).words:
        keys = [int(w.scan[4:]) for w in word.windows]
        assert sorted(key // 2 for key in keys) == [0, 1, 2, 3]
        own = int(word.reference[4:])
        assert all(abs(key - own) <= abs((key ^ 1) - own) for key in keys)


@given(st.integers(0, 10**6), st.sampled_from([2, 3]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_counts_distances_and_bounds(seed, dims, common):
    scans = cohort(12, seed, dims)
    wanted = options(size=(12, 12, 8)[:dims], common_size=(48, 48, 32)[:dims] if common else None, seed=seed)
    train = described(scans, seed)
    words = discover_words(train, wanted).words
    # exactly C * K windows, each label K times, none dropped
    assert [w.label for w in words] == list(range(5)) and all(len(w.windows) == 6 for w in words)
    by_key = {scan.key: scan for scan in scans}
    for window in (w for word in words for w in word.windows):
        shape = np.array(by_key[window.scan].shape[1:])
        size = np.rint(np.array(wanted.size) * shape / wanted.common_size) if common else np.array(wanted.size)
        assert (np.array(window.size) == size).all()
        assert (np.array(window.start) >= 0).all() and (np.array(window.start) + window.size <= shape).all()
    bodies = [np.subtract(scan.body_box[1], scan.body_box[0]) for scan in scans]
    extent = np.array(wanted.common_size) if common else np.mean(bodies, axis=0)
    places = np.array([word.center for word in words]) * extent
    apart = np.linalg.norm(places[:, None] - places, axis=-1)[~np.eye(5, dtype=bool)]
    assert apart.min() >= 4.0 - 1e-9


def test_windows_lie_at_the_same_fraction_of_each_body():
    big = Patient(0, (1, 100, 100, 100), ((20, 20, 20), (80, 80, 80)))
    small = Patient(1, (1, 60, 60, 60), ((10, 10, 10), (40, 40, 40)))
    for scan, expected in ((big, [32 - 6, 50 - 6, 68 - 4]), (small, [16 - 6, 25 - 6, 34 - 4])):
        start, size = window_at(scan.shape, scan.body_box, np.array([0.2, 0.5, 0.8]), options())
        assert start.tolist() == expected and size.tolist() == [12, 12, 8]


def test_a_place_is_where_its_window_is_in_the_reference():
    scans = cohort(6)
    by_key = {scan.key: scan for scan in scans}
    for word in discover_words(described(scans), options(patients=3)).words:
        low, high = map(np.array, by_key[word.reference].body_box)
        window = word.windows[0]
        middle = np.array(window.start) + np.array(window.size) / 2
        np.testing.assert_allclose(low + np.array(word.center) * (high - low), middle)


def test_references_are_drawn_once_each_while_there_are_enough():
    scans = cohort(9)
    words = discover_words(described(scans), options(num_words=9, min_distance=1.0)).words
    assert len({w.reference for w in words}) == 9
    more = discover_words(described(scans), options(num_words=20, min_distance=1.0)).words
    assert set(Counter(w.reference for w in more).values()) == {2, 3}
    other = discover_words(described(scans), options(num_words=9, min_distance=1.0, seed=1)).words
    assert [w.reference for w in other] != [w.reference for w in words]


def test_the_same_request_finds_the_same_words():
    assert discover_words(described(cohort()), options()) == discover_words(described(cohort()), options())


def test_validation_patients_are_ranked_too_but_never_trained_on():
    scans = cohort(12)
    train, validation = described(scans[:8]), described(scans[8:], seed=1)
    words = discover_words(train, options(validation_patients=3), validation).words
    unseen = {scan.key for scan in scans[8:]}
    for word in words:
        assert len(word.validation) == 3 and {w.scan for w in word.validation} <= unseen
        assert not {w.scan for w in word.windows} & unseen and word.reference not in unseen
        feature = train.features[[s.key for s in scans].index(word.reference)]
        distance = np.linalg.norm(validation.features - feature, axis=1)
        assert [w.scan for w in word.validation] == [scans[8 + i].key for i in distance.argsort()[:3]]


def test_windows_without_tissue_are_not_words():
    scans = cohort(8)
    for scan in scans:
        scan.values = np.zeros(scan.shape, np.float32)
        scan.values[:, : scan.shape[1] // 2] = 1.0
    accept = acceptance(BackgroundRule("paper", 0.425, 0.5, 0.15))
    by_key = {scan.key: scan for scan in scans}
    words = discover_words(described(scans), options(), accept=accept).words
    for word in words:
        window = word.windows[0]
        inside = tuple(slice(a, a + n) for a, n in zip(window.start, window.size, strict=True))
        assert by_key[word.reference][(slice(None), *inside)].mean() >= 0.5
    assert acceptance(None) is None


@pytest.mark.parametrize(
    ("scans", "changes", "message"),
    [
        (1, {"patients": None}, "at least 2 patients who resemble each other .* only 1 can be trained on: give more"),
        (5, {}, "6 patients who resemble each other .* only 5 can be trained on: .* lower `patients`"),
        (8, {"num_words": 9, "words_per_reference": 1}, "8 patients with `words_per_reference` 1 cannot give 9 words"),
        (8, {"min_distance": 60.0}, r"Only [1-4] of 5 words were found in 8 patients: ask for fewer"),
        (8, {"size": (12, 12)}, r"`size` \[12, 12\] of words does not fit scan scan0"),
    ],
)
def test_words_that_cannot_be_discovered_are_refused(scans, changes, message):
    with pytest.raises(ValueError, match=message):
        discover_words(described(cohort(scans)), options(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_words": 1}, "`num_words` of a word list must be at least 2, got 1"),
        ({"patients": 1}, "`patients` of a word list must be at least 2"),
        ({"words_per_reference": 0}, "`words_per_reference` of a word list must be at least 1"),
        ({"max_trials": 0}, "`max_trials` of a word list must be at least 1"),
        ({"min_distance": -1.0}, "`min_distance` of a word list must be at least 0"),
        ({"size": (0, 8, 8)}, "`size` must be positive"),
        ({"common_size": (64, 64)}, "`common_size` have as many axes"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_features_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"one vector for each of 3 scans, got \(2, 4\)"):
        Described(cohort(3), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        Described(cohort(3), np.full((3, 4), np.nan))


def test_a_list_survives_its_file(tmp_path):
    found = discover_words(described(cohort()[:8]), options(), described(cohort()[8:]))
    found.save(tmp_path / "new" / "words.json")
    assert WordList.load(tmp_path / "new" / "words.json") == found
    entry = json.loads((tmp_path / "new" / "words.json").read_text())["words"][0]
    assert set(entry["windows"][0]) == {"scan", "start", "size"} and entry["label"] == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 2, "words": [], "request": {}}'])
def test_a_file_that_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(ValueError, match=r"is not a word list of this version .* make it with"):
        WordList.load(tmp_path / "words.json")
    with pytest.raises(FileNotFoundError, match=r"There is no word list .* discover STORE --out"):
        WordList.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "forged",
    [
        *({"label": label} for label in (1, "0", None)),
        *({"windows": windows} for windows in (None, 5, [7], [{}])),
        *(
            {"windows": [{"scan": "a", "start": start, "size": [3, 3]}]}
            for start in (5, [0], [-1, 0], [0.5, 0], ["0", 0])
        ),
        *(
            {"windows": [{"scan": "a", "start": [0, 0], "size": size}]}
            for size in ([3, 0], [3, -1], [3, 3, 3], [3, True])
        ),
    ],
)
def test_a_forged_word_is_refused(tmp_path, forged):
    window = {"scan": "a", "start": [0, 0], "size": [3, 3]}
    word = {"label": 0, "reference": "a", "center": [0.5, 0.5], "windows": [window], "validation": [window]}
    path = tmp_path / "words.json"
    for content in (word, word | forged):
        path.write_text(json.dumps({"format": 1, "request": {}, "words": [content]}))
        if content == word:
            assert WordList.load(path).words[0].windows[0].size == (3, 3)
    with pytest.raises(ValueError, match=r"is not a word list of this version .* make it with"):
        WordList.load(path)


def test_a_list_with_former_names_is_read(tmp_path):
    window = Window("a", (0, 0), (3, 3))
    words = WordList((Word(0, "a", (0.5, 0.5), (window,), (window, window)),), {})
    words.save(tmp_path / "words.json")
    former = (tmp_path / "words.json").read_text().replace("validation", "held_out")  # the former name
    (tmp_path / "words.json").write_text(former)
    assert WordList.load(tmp_path / "words.json") == words


def run_scans(scans, validation=2):
    return SimpleNamespace(train=scans[validation:], validation=scans[:validation])


def test_a_run_without_a_list_discovers_one_aloud_and_finds_it_again(tmp_path, capsys):
    scans = run_scans(cohort(9))
    first = VisualWords(scans, options(), tmp_path)
    assert "`words` is null: 5 words were discovered among 7 training scans" in capsys.readouterr().out
    written = (tmp_path / "words.json").stat()
    again = VisualWords(scans, options(), tmp_path)
    assert capsys.readouterr().out == "" and (tmp_path / "words.json").stat().st_mtime_ns == written.st_mtime_ns
    assert again.words == first.words
    VisualWords(scans, options(seed=1), tmp_path)
    assert "were discovered" in capsys.readouterr().out
    VisualWords(run_scans(cohort(9), 1), options(seed=1), tmp_path)
    assert "were discovered" in capsys.readouterr().out


def test_a_run_learns_all_windows_of_its_own_part(tmp_path):
    scans = run_scans(cohort(9))
    found = VisualWords(scans, options(), tmp_path)
    assert Counter(word.label for word in found.train) == dict.fromkeys(range(5), 6)
    assert [word.label for word in found.train[:5]] == [0, 1, 2, 3, 4]
    assert {word.key for word in found.validation} == {scan.key for scan in scans.validation}
    one = found.train[7]
    assert one.shape == one.scan.shape and one[:, 0, 0, 0].shape == (1,) and f"LocatedWord({one.label}" in repr(one)
    # the same list where others are held out: a window follows its scan
    other = run_scans(cohort(9)[::-1])
    moved = VisualWords(other, options(), tmp_path / "other", words=tmp_path / "words.json")
    assert {w.key for w in moved.train}.isdisjoint(s.key for s in other.validation) and moved.validation
    assert len(moved.train) + len(moved.validation) == len(found.train) + len(found.validation)


def test_lists_that_do_not_fit_are_refused(tmp_path):
    VisualWords(run_scans(cohort(9)), options(), tmp_path)
    with pytest.raises(ValueError, match="holds 5 words, not 4: set `num_words` to 5"):
        VisualWords(run_scans(cohort(9)), options(num_words=4), tmp_path, words=tmp_path / "words.json")
    strangers = [Patient(100 + number) for number in range(9)]
    with pytest.raises(ValueError, match="has no window of word 0 in the scans of this run"):
        VisualWords(run_scans(strangers), options(), tmp_path, words=tmp_path / "words.json")
