"""``upload``: write a store to object storage, from where training reads it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  python -m monai_ssl upload store s3://bucket/ct
      again: what was interrupted, or new in the store
  python -m monai_ssl pretrain pcrlv2 --data s3://bucket/ct
      scans are fetched when they are read, into ~/.cache/monai_ssl/scans

Any URL of fsspec (s3, gs, abfs, sftp, ...) or a folder. Credentials and endpoints come from the environment, as
AWS_ACCESS_KEY_ID or FSSPEC_S3_ENDPOINT_URL; MONAI_SSL_CACHE names the folder of the cache, MONAI_SSL_CACHE_SIZE its
limit (100GB). Nothing of the folder `private` of a store is uploaded."""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "upload",
        help="write a store to object storage, for training from there",
        description="Write the scans of a store as tar files, and its manifest, to object storage or into a folder.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="folder written by `prepare`")
    parser.add_argument("url", metavar="URL", help="such as s3://bucket/prefix")
    parser.add_argument("--shard-size", default="1GB", metavar="SIZE", help="of a tar file at most; default: 1GB")


def run(args: argparse.Namespace) -> int:
    """Upload and say what was done."""
    from monai_ssl.arguments import byte_size
    from monai_ssl.store.remote.upload import upload

    done = upload(args.store, args.url, byte_size(**{"--shard-size": args.shard_size}))
    print(
        f"{done.place}: {done.scans} scans, {done.already} of them there before; "
        f"{done.shards} shards written, {done.bytes / 1e6:.1f} MB"
    )
    return 0


__all__ = ["add_parser", "run"]
