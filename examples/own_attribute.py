"""Makes a folder of labelled codes for an attribute of one's own: see own_attribute.md.

    python examples/own_attribute.py elder

Real work starts from codes and labels of one's own. To have something to start from, this takes the
project's labelled faces and one new column, Elder: whoever has grey hair or bags under the eyes and
isn't young.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

FACES = Path(__file__).resolve().parents[1] / "training_data" / "faces"


def main(folder: Path) -> None:
    """Write ``latents.npz`` and ``labels.csv`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FACES / "latents.npz", folder)
    with (
        open(FACES / "labels.csv", newline="") as source,
        open(folder / "labels.csv", "w", newline="") as target,
    ):
        writer = csv.writer(target)
        writer.writerow(("id", "sampling", "Elder", "Smiling", "Male"))
        for face in csv.DictReader(source):
            worn = int(face["Gray_Hair"]) or int(face["Bags_Under_Eyes"])
            elder = int(bool(worn) and not int(face["Young"]))
            writer.writerow((face["id"], face["sampling"], elder, face["Smiling"], face["Male"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
