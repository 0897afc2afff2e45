"""Views, samples and labels that are not what they should be are named; health is silent."""

import pytest
import torch
from torch import nn
from toy_training import Healthy, batches, words

from monai_ssl.handlers import IdenticalViews, MissingLabels, RepeatedSamples


def two_views():
    return [{**b, "view2": b["view1"].clone()} for b in batches()]


def test_identical_views_are_named_once():
    (message,) = words(IdenticalViews(3), data=two_views())
    assert "`view1` and `view2` were the same in each of 3 batches" in message and "`Separatelyd`" in message


def test_views_that_differ_once_are_silent():
    data = two_views()
    data[1]["view2"] *= 1 + 1e-6
    assert words(IdenticalViews(4), data=data) == []


def test_an_anchor_that_is_its_positive_is_named_but_no_equal_answers():
    data = [{**b, "anchor": b["view1"], "positive": b["view1"].clone()} for b in batches()]
    (message,) = words(IdenticalViews(2), data=[{**b, "view1": b["view1"] + 1} for b in data])
    assert "`anchor` and `positive`" in message and "`view1`" not in message
    answers = {"view3": torch.arange(4), "view4": torch.arange(4)}
    assert words(IdenticalViews(2), data=[b | answers for b in batches()]) == []


def test_blank_windows_and_targets_are_no_identical_views():
    assert words(IdenticalViews(2), data=[{k: v * 0 for k, v in b.items()} for b in two_views()]) == []
    assert words(IdenticalViews(2)) == []


def test_a_loader_that_repeats_itself_within_an_epoch():
    (message,) = words(RepeatedSamples(), data=batches(2) * 4, epochs=2)
    assert "24 of 32 samples of epoch 1 had been in it before" in message and "workers draw alike" in message


def test_a_loader_that_gives_the_same_epoch_again():
    (message,) = words(RepeatedSamples(), data=batches(6), epochs=4)
    assert "24 of 24 samples of epoch 2 are those of the last" in message


class Changing:
    """Other images in every epoch, or in every second one; some are there twice, and blank ones often."""

    def __init__(self, period=100, twice=0, blank=0):
        self.epoch, self.period, self.twice, self.blank = 0, period, twice, blank

    def __len__(self):
        return 6

    def __iter__(self):
        self.epoch += 1
        data = batches(6, seed=self.epoch % self.period)
        for i in range(self.twice):
            data[i + 1] = data[0]
        return iter([{k: v * (i >= self.blank) for k, v in b.items()} for i, b in enumerate(data)])


def test_fresh_data_blank_windows_and_short_epochs_are_silent():
    assert words(RepeatedSamples(), data=Changing(twice=1)) == []
    assert words(RepeatedSamples(), data=Changing(twice=3)) != []
    assert words(RepeatedSamples(), data=Changing(period=2), epochs=4) == [], "compared with the epoch before only"
    assert words(RepeatedSamples(fewest=4), data=Changing(blank=5)) == []
    assert words(RepeatedSamples(), data=batches(3)) == []


class Task(Healthy):
    def __init__(self, classes):
        super().__init__()
        self.num_labels = classes
        self.head_of_task = nn.Linear(6, classes)

    def losses(self, batch):
        logits = self.head_of_task(self.net(batch["view1"])[-1].mean((2, 3)))
        return {"task": nn.functional.cross_entropy(logits, batch["label"])}


def with_labels(labels):
    return [{**b, "label": torch.tensor(row)} for b, row in zip(batches(len(labels)), labels, strict=True)]


def test_a_label_that_never_occurs_is_named():
    data = with_labels([[0, 1, 3, 3], [0, 0, 1, 1]])
    (message,) = words(MissingLabels(samples=4), Task(4), data=data, epochs=4)
    assert "1 of 4 labels never occurred in 16 samples: 2." in message


def test_rare_labels_are_waited_for():
    data = with_labels([[0, 1, 1, 1], [0, 0, 1, 2]])
    assert words(MissingLabels(samples=4), Task(3), data=data, epochs=4) == []
    assert words(MissingLabels(samples=100), Task(9), data=data, epochs=4) == []


class Unsupervised(Task):
    """Has labels, but its loss reads none."""

    def losses(self, batch):
        return Healthy.losses(self, batch)


def test_a_label_that_occurs_once_is_not_missing():
    data = with_labels([[0, 1, 1, 1], [0, 0, 1, 2], [0, 1, 0, 1]])
    assert words(MissingLabels(samples=4), Task(3), data=data, epochs=1) == []


@pytest.mark.parametrize("labels", [[[0.5, 1.0, 0.0, 0.2]], [[0, 1, 2, 5]]])
def test_labels_of_another_kind_or_range_do_not_end_the_run(labels):
    assert words(MissingLabels(samples=1), Unsupervised(3), data=with_labels(labels), epochs=3) == []


def test_a_method_without_labels_is_not_watched():
    assert words(MissingLabels(samples=1)) == []
