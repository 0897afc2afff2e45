"""A Dask cluster: that of ``DASK_SCHEDULER_ADDRESS``, else one on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def dask_client() -> Iterator[Client]:
    """Connect to the cluster; one of our own ends with the block.

    Raises:
        ValueError: when Dask is not installed, or nobody answers at the address.
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError("`--backend dask` needs Dask: `pip install distributed`.") from error
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    # a cluster of our own ends with us, which its workers would report as lost connections
    options: dict[str, Any] = {} if address else {"silence_logs": logging.CRITICAL}
    try:
        client = Client(address, **options)
    except OSError as error:
        raise ValueError(f"No Dask scheduler answers at DASK_SCHEDULER_ADDRESS={address}: {error}") from error
    with client:
        yield client


__all__ = ["dask_client"]
