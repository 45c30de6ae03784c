"""`python -m videdit` is the same as `videdit`."""

from __future__ import annotations

import sys

from videdit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
