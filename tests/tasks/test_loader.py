"""Batches of a downstream training."""

import pytest

from monai_ssl.tasks import loader


def sizes(cases, batch_size, **options):
    return [len(batch) for batch in loader(list(range(cases)), batch_size, **options)]


@pytest.mark.parametrize("batch_size", [2, 4, 6, 16])
@pytest.mark.parametrize("cases", range(1, 40))
def test_no_training_batch_is_left_with_one_or_two_cases_beside_large_ones(cases, batch_size):
    found = sizes(cases, batch_size, shuffle=True, least=3)
    if cases > batch_size >= 6:
        assert min(found) >= 3 and sum(found) in (cases, cases - cases % batch_size) and cases - sum(found) < 3
    else:
        assert sum(found) == cases
    assert sum(sizes(cases, batch_size, shuffle=True)) == sum(sizes(cases, batch_size, least=3)) == cases
