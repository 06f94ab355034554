"""Where a search finds its Ray cluster, and what its trainings need there."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from actsearch.errors import InvalidValueError

OWN_OPTIONS = {"CPU": "--cpus-per-trial", "GPU": "--gpus-per-trial"}
"""Resources that have an option of their own."""


@dataclass(frozen=True)
class RayOptions:
    """The options of a search on Ray, checked without Ray.

    Args:
        address: ``auto``, ``HOST:PORT``, or empty for what ``RAY_ADDRESS`` names, else a cluster of
            its own on this machine.
        runtime_env: a YAML file, as ``ray job submit --runtime-env`` takes it; empty for none.
        resources: of each training, as a JSON object: ``{"spot": 1}``.

    Raises:
        InvalidValueError: no such address, file or resources.
    """

    address: str = ""
    runtime_env: str = ""
    resources: str = ""

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        known = self.address in ("", "auto")
        if not known and not (host and "/" not in host and port.isdecimal() and int(port) < 65536):
            raise InvalidValueError(
                f"ray-address must be auto or HOST:PORT, but got {self.address!r}. It is what `ray"
                " start --head` has printed; from outside of a cluster use `ray job submit`."
            )
        if self.runtime_env and not Path(self.runtime_env).is_file():
            raise InvalidValueError(
                f"ray-runtime-env must be a YAML file, but there is no {self.runtime_env!r}."
            )
        self.wanted  # noqa: B018  # checks itself

    def __bool__(self) -> bool:
        return bool(self.address or self.runtime_env or self.resources)

    @cached_property
    def wanted(self) -> dict[str, float]:
        """The resources, by name.

        Raises:
            InvalidValueError: no JSON object of numbers above 0.
        """
        try:
            found = json.loads(self.resources or "{}")
        except ValueError:
            found = None
        numbers: list[Any] = list(found.values()) if isinstance(found, dict) else [None]
        if not all(type(n) in (int, float) and 0 < n < math.inf for n in numbers):
            raise InvalidValueError(
                "ray-resources must be a JSON object of numbers above 0, but got"
                f" {self.resources!r}. Write: --ray-resources '{{\"spot\": 1}}'."
            )
        for name in OWN_OPTIONS.keys() & found.keys():
            raise InvalidValueError(
                f"ray-resources must be of your cluster's own names, but got {name!r}. Write"
                f" {OWN_OPTIONS[name]} {found[name]:g}."
            )
        return {str(name): float(number) for name, number in found.items()}

    def environment(self) -> dict[str, Any]:
        """Return what the file of the runtime environment says; paths are from its folder.

        Raises:
            InvalidValueError: the file is no mapping in YAML.
        """
        if not self.runtime_env:
            return {}
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        path = Path(self.runtime_env)
        try:
            found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        except (YAMLError, UnicodeDecodeError, OSError) as error:
            told = " ".join(str(error).split())[:300]
            raise InvalidValueError(f"{path} must be readable YAML, but: {told}.") from None
        if not isinstance(found, dict):
            raise InvalidValueError(
                f"{path} must be a mapping such as `working_dir: .`, but got {found!r}."
            )
        return _from_folder(found, path.absolute().parent)


def _from_folder(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a runtime environment whose local folders do not depend on the current one."""

    def placed(path: Any) -> Any:
        local = isinstance(path, str) and "://" not in path
        return str((folder / path).resolve()) if local else path

    moved = dict(found)
    if "working_dir" in found:
        moved["working_dir"] = placed(found["working_dir"])
    if isinstance(found.get("py_modules"), list):
        moved["py_modules"] = [placed(path) for path in found["py_modules"]]
    return moved
