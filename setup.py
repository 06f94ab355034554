"""What ships under which name; everything else stands in pyproject.toml."""

import warnings
from tempfile import TemporaryDirectory

from setuptools import find_packages, setup

# One line of advice in every `make install`, about folders that shadow an editable install.
warnings.filterwarnings("ignore", "Editable installation")

with TemporaryDirectory() as scratch:
    setup(
        packages=[
            *find_packages(include=["actsearch", "actsearch.*"]),
            "actsearch_tasks",
            *[f"actsearch_tasks.{name}" for name in find_packages("tasks")],
            "actsearch_search_spaces",
        ],
        # A top-level `tasks` in site-packages would be shadowed by any `tasks.py` beside a user's
        # script.
        package_dir={"actsearch_tasks": "tasks", "actsearch_search_spaces": "search_spaces"},
        package_data={"": ["*.yaml", "*.csv", "*.npz", "*.toml", "py.typed"]},
        # Built in the checkout, a file deleted since would still be in the next wheel.
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )
