"""`python -m videdit` is the same as `videdit`."""

from __future__ import annotations

from videdit.cli.main import entry

if __name__ == "__main__":
    entry()
