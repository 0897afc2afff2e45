"""``python -m monai_ssl COMMAND``."""

from __future__ import annotations

import sys

from monai_ssl.cli import main

if __name__ == "__main__":
    sys.exit(main())
