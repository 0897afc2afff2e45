import pytest

from monai_ssl.schedules import steps


def test_steps_fall_exactly_where_they_are_asked_to():
    rate = steps(0.03, 0.1, [60 / 120, 80 / 120, 100 / 120])
    epochs = [rate(epoch / 120) for epoch in range(120)]
    expected = [0.03] * 60 + [0.003] * 20 + [0.0003] * 20 + [0.00003] * 20
    assert epochs == pytest.approx(expected)
    assert steps(2.0, 0.5, [])(1.0) == 2.0


def test_steps_outside_of_training_are_refused():
    with pytest.raises(ValueError, match=r"`at` holds fractions of training in \[0, 1\], got \[60\]"):
        steps(0.03, 0.1, [60])
