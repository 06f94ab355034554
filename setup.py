"""What ships under which name; everything else stands in pyproject.toml."""

import re
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import find_packages, setup

# One line of advice in every `make install`, about folders that shadow an editable install.
warnings.filterwarnings("ignore", "Editable installation")

HOME = ""
"""Public address of this folder's files, as an index shows them; there is none yet."""


def _on_its_own(readme: str) -> str:
    """Return the text with links into this folder made absolute, or with their words alone."""

    def linked(match: re.Match[str]) -> str:
        picture, words, path = match.groups()
        if not HOME:
            return f"*{words}*" if picture else words
        return f"{picture}[{words}]({HOME}/{path})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)]+)\)", linked, readme)


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
        package_data={"": ["*.yaml", "*.csv", "*.npz", "*.toml", "*.schema.json", "py.typed"]},
        # Relative links lead nowhere on the page of a package index.
        long_description=_on_its_own((Path(__file__).parent / "README.md").read_text("utf-8")),
        long_description_content_type="text/markdown",
        # Built in the checkout, a file deleted since would still be in the next wheel.
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )
