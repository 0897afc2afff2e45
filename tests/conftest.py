"""What tests of the bundles share."""

import os
from pathlib import Path

import pytest
from method_cases import CONFIGS, built, name, small, write_cohort

from monai_ssl.store import PrepareOptions, prepare


@pytest.fixture(scope="session", autouse=True)
def working_directory(tmp_path_factory):
    """Where the record of runs goes that have none of their own: not into the checkout."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("working_directory"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """A raw tree of generated scans and pictures; read only."""
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def store(cohort, tmp_path_factory):
    """The same, prepared; read only."""
    folder = tmp_path_factory.mktemp("store")
    prepare(cohort, folder, PrepareOptions(workers=0))
    return folder


@pytest.fixture
def settings(store, tmp_path):
    """Overrides that make the configuration at a path small; keywords change more."""
    return lambda path, **more: small(path, store, tmp_path, **more)


@pytest.fixture(scope="session", params=CONFIGS, ids=name)
def case(request, store, tmp_path_factory):
    """Each configuration of pre-training, built once and asked by all tests; they leave it as they found it."""
    return built(request.param, small(request.param, store, tmp_path_factory.mktemp("case")))


@pytest.fixture(scope="session")
def trained(case):
    """The same after an epoch, with all that the run wrote."""
    case.trainer.run()
    return case
