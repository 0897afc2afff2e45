"""A Dask cluster: that of ``DASK_SCHEDULER_ADDRESS``, else one on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)
_SAID_EVERY = 600.0
"""Seconds."""


@contextmanager
def dask_client() -> Iterator[Client]:
    """Connect to the cluster, and wait until it has workers; one of our own ends with the block.

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
        await_workers(client)
        yield client


def await_workers(client: Client) -> None:
    """Wait, and say so, while the cluster has no workers: a queue of machines may give some only after hours."""
    while not client.nthreads():
        logger.warning(
            "The Dask cluster has no workers: nothing is done until some join it. Ctrl-C ends this; the same command "
            "goes on later with what is left."
        )
        with suppress(asyncio.TimeoutError):
            client.wait_for_workers(1, timeout=_SAID_EVERY)


__all__ = ["await_workers", "dask_client"]
