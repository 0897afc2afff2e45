from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.data.imbalance import (
    MeanResampler,
    WeightedResampler,
    class_sampler,
    imbalance_counts,
    imbalanced_subset,
    largest_total,
)

NEGATIVES = [f"n{i:04d}" for i in range(1000)]
POSITIVES = [f"p{i:03d}" for i in range(100)]


def test_counts_are_those_of_table_7():
    assert [imbalance_counts(0.01, n)[0] for n in (5000, 10000, 15000)] == [50, 99, 149]
    assert imbalance_counts(0.05, 5000) == (238, 4762) and imbalance_counts(0.15, 10000)[0] == 1304
    assert imbalance_counts(1, 10) == (5, 5)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.4), st.integers(60, 350), st.integers(60, 350), st.integers(0, 5))
def test_sets_have_their_counts_and_nest(ratio, small, large, seed):
    small, large = sorted((small, large))
    a, b = (set(imbalanced_subset(POSITIVES, NEGATIVES, ratio=ratio, total=n, seed=seed)) for n in (small, large))
    for chosen, total in ((a, small), (b, large)):
        assert (len(chosen & set(POSITIVES)), len(chosen & set(NEGATIVES))) == imbalance_counts(ratio, total)
    assert a <= b


def test_seeds_repeat_and_differ():
    options = {"ratio": 0.1, "total": 500}
    first = imbalanced_subset(POSITIVES, NEGATIVES, **options)
    assert first == imbalanced_subset(POSITIVES[::-1], NEGATIVES[::-1], **options)
    assert first != imbalanced_subset(POSITIVES, NEGATIVES, seed=1, **options)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 1), st.integers(1, 40), st.integers(1, 40))
def test_no_larger_set_than_the_largest_fits(ratio, few, many):
    total = largest_total(ratio, few, many)
    assert not total or len(imbalanced_subset(POSITIVES[:few], NEGATIVES[:many], ratio=ratio, total=total)) == total
    for n in range(total + 1, few + many + 2):
        with pytest.raises(ValueError, match=r"too few|leave none"):
            imbalanced_subset(POSITIVES[:few], NEGATIVES[:many], ratio=ratio, total=n)


def test_what_cannot_be_is_refused_with_the_shortfall():
    with pytest.raises(ValueError, match="need 118 of the minority, but 100 are there, 18 too few; lower `total`"):
        imbalanced_subset(POSITIVES, NEGATIVES, ratio=0.15, total=905)
    with pytest.raises(ValueError, match="need 1188 of the majority, but 1000 are there, 188 too few"):
        imbalanced_subset(POSITIVES, NEGATIVES, ratio=0.01, total=1200)
    with pytest.raises(ValueError, match="leave none of one kind"):
        imbalance_counts(0.001, 100)
    with pytest.raises(ValueError, match=r"`ratio` must be in \(0, 1\], got 1\.5"):
        imbalance_counts(1.5, 100)
    with pytest.raises(ValueError, match="`p000` is in both"):
        imbalanced_subset(POSITIVES, ["p000", *NEGATIVES], ratio=0.1, total=100)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(8, 40), st.sampled_from([1.0, 0.5, 0.25]), st.integers(0, 3))
def test_epochs_are_even_and_take_turns(few, many, ratio, seed):
    labels = [1] * few + [0] * many
    sampler = MeanResampler(labels, ratio, seed)
    share = min(round(few / ratio), many)
    epochs = [list(sampler) for _ in range(-(-many // share))]
    for epoch in epochs:
        assert len(epoch) == len(sampler) == len(set(epoch)) == few + share
        assert set(range(few)) <= set(epoch)
    assert set().union(*epochs) == set(range(few + many))
    if share < many:
        assert set(epochs[0]) != set(epochs[1])


def test_a_second_round_of_turns_has_another_order_and_epochs_can_be_resumed():
    sampler = MeanResampler([0] * 40 + [1] * 10, seed=3)
    epochs = [list(sampler) for _ in range(8)]
    assert set(epochs[0]) != set(epochs[4]) and epochs[0][:10] != list(range(40, 50))
    resumed = MeanResampler([0] * 40 + [1] * 10, seed=3)
    resumed.set_epoch(5)
    assert [list(resumed) for _ in range(3)] == epochs[5:]
    assert list(MeanResampler([0] * 40 + [1] * 10, seed=4)) != epochs[0]


def test_classes_come_in_any_order():
    labels = [0] * 40 + [1] * 10
    for epoch in range(3):
        sampler = MeanResampler(labels, seed=3)
        sampler.set_epoch(epoch)
        drawn = [labels[i] for i in sampler]
        # of 20 in a random order, each half of one class has the probability 1 in 92,378
        assert drawn != sorted(drawn) and 0 < sum(drawn[:10]) < 10


def test_several_classes_are_brought_to_the_rarest():
    labels = [0] * 30 + [1] * 5 + [2] * 8
    assert Counter(labels[i] for i in MeanResampler(labels)) == {0: 5, 1: 5, 2: 5}
    assert Counter(labels[i] for i in MeanResampler(labels, 0.5)) == {0: 10, 1: 5, 2: 8}


def test_weights_make_classes_equally_frequent():
    labels = [0] * 900 + [1] * 100
    sampler = WeightedResampler(labels, 1)
    drawn = list(sampler)
    positive = sum(labels[i] for i in drawn)
    assert len(drawn) == 1000 and abs(positive - 500) < 3 * 250**0.5
    assert drawn == list(WeightedResampler(labels, 1)) != list(WeightedResampler(labels, 2))
    epochs = []
    for epoch in (3, 0, 3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert epochs[0] == epochs[2] != epochs[1], "an epoch is drawn alike, whatever was drawn before"


def test_samplers_by_name():
    assert class_sampler([0, 1], None) is None
    assert isinstance(class_sampler([0, 1, 1], "mean"), MeanResampler)
    assert len(class_sampler([0, 1, 1], "weighted")) == 3
    with pytest.raises(ValueError, match="`resampling` must be null, 'mean' or 'weighted', got 'more'"):
        class_sampler([0, 1], "more")
    with pytest.raises(ValueError, match="`resampling` needs images of one class each"):
        class_sampler([[0.0, 1.0], [1.0, 1.0]], "mean")
    with pytest.raises(ValueError, match="two classes at least, got 1"):
        MeanResampler([0, 0])
