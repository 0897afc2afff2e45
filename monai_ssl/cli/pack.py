"""``pack``: a bundle as a zip that MONAI downloads."""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

from monai_ssl.cli.outputs import output

_EXAMPLES = """examples:
  python -m monai_ssl pack pcrlv2 dist/
      the bundle that comes with this package -> dist/pcrlv2_v0.1.0.zip
  python -m monai_ssl pack apps/monaibundle/model/liver dist/
      any bundle by its folder, with the weights in its models/

Then, from a file or from any web server:
  python -m monai.bundle download --name pcrlv2 --url file://$PWD/dist/pcrlv2_v0.1.0.zip --bundle_dir BUNDLES
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser of the program."""
    parser = subparsers.add_parser(
        "pack",
        help="make a zip of a bundle that MONAI downloads",
        description="Write a bundle as a zip that `python -m monai.bundle download --url` installs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", help="its name, or the folder of any bundle")
    parser.add_argument("folder", type=output, metavar="OUT", help="folder for the zip")


def run(args: argparse.Namespace) -> int:
    """Write the zip, and say how it is installed."""
    from monai_ssl.zoo import pack

    path = pack(args.bundle, args.folder).resolve()
    name = path.stem.rpartition("_v")[0]
    print(f"Written: {path}\nsha256:  {hashlib.sha256(path.read_bytes()).hexdigest()}")
    print(f"Install: python -m monai.bundle download --name {name} --url {path.as_uri()} --bundle_dir BUNDLES")
    return 0
