"""Lists the packages; everything else about the distribution is in setup.cfg.

`weights/` stands at the top of the repository and is installed as `videdit._weights`, so that a
wheel holds the bundles' manifests and the project's own trained weights.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["videdit", "videdit.*"]), "videdit._weights"],
    package_dir={"videdit._weights": "weights"},
)
