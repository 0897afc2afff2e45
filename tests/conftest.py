"""What tests of the bundles share."""

import pytest
from method_cases import small, write_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """A raw tree of generated scans and pictures; read only."""
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def settings(cohort, tmp_path):
    """Overrides that make the configuration at a path small; keywords change more."""
    return lambda path, **more: small(path, cohort, tmp_path, **more)
