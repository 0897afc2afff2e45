import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.evaluation import epochs_to

CURVE = [0.2, 0.5, 0.79, 0.4, 0.77, 0.8]


def test_the_first_epoch_that_is_nearly_as_good_as_the_best():
    assert epochs_to(CURVE) == 3
    assert epochs_to(CURVE, 1.0) == 6
    assert epochs_to(CURVE, 0.5) == 2
    assert epochs_to(CURVE, epochs=[5, 10, 15, 20, 25, 30]) == 15


def test_what_guessing_scores_does_not_count():
    auc = [0.8, 0.81, 0.83]
    assert epochs_to(auc) == 1 and epochs_to(auc, floor=0.5) == 3
    assert epochs_to([0.75, 1.0], 0.5, floor=0.5) == 1


def test_another_curve_may_set_the_goal():
    assert epochs_to(CURVE, best=0.5) == 2
    assert epochs_to(CURVE, best=0.9) is None
    assert epochs_to(CURVE, 1, best=0.8) == 6


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20), st.floats(0.01, 1), st.floats(0.01, 1))
def test_more_takes_no_fewer_epochs(scores, a, b):
    low, high = (epochs_to(scores, share) for share in sorted((a, b)))
    assert low <= high <= scores.index(max(scores)) + 1
    assert scores[high - 1] >= max(a, b) * max(scores) * (1 - 1e-9)


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="`scores` must be finite numbers"):
        epochs_to([])
    with pytest.raises(ValueError, match=r"`scores` must be finite numbers.*nan"):
        epochs_to([0.5, float("nan")])
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match=r"`share` must be in \(0, 1\]"):
            epochs_to(CURVE, share)
    for epochs in ([1, 2], [1, 2, 2, 3, 4, 5]):
        with pytest.raises(ValueError, match="`epochs` must be 6 rising numbers"):
            epochs_to(CURVE, epochs=epochs)
    with pytest.raises(ValueError, match=r"best score 0\.8 is not above `floor` = 0.9"):
        epochs_to(CURVE, floor=0.9)
