"""The options of a search on Ray: refused in one line, before Ray is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actsearch.errors import InvalidValueError
from actsearch.search.executors.ray_options import RayOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "somewhere"}, "ray-address must be auto or HOST:PORT, but got 'somewhere'"),
        ({"address": "ray://h:10001"}, "ray-address must be auto or HOST:PORT, but got 'ray://h"),
        ({"address": "h:99999"}, "ray-address must be auto or HOST:PORT, but got 'h:99999'"),
        ({"address": ":6379"}, "ray-address must be auto or HOST:PORT, but got ':6379'"),
        ({"runtime_env": "no.yaml"}, "ray-runtime-env must be a YAML file, but there is no 'no"),
        ({"resources": "spot"}, "ray-resources must be a JSON object of numbers above 0, but got"),
        ({"resources": '["spot"]'}, "ray-resources must be a JSON object of numbers above 0"),
        ({"resources": '{"spot": 0}'}, "ray-resources must be a JSON object of numbers above 0"),
        ({"resources": '{"spot": true}'}, "ray-resources must be a JSON object of numbers above 0"),
        ({"resources": '{"GPU": 2}'}, "Write --gpus-per-trial 2."),
    ],
)
def test_refused(options, message):
    with pytest.raises(InvalidValueError) as refused:
        RayOptions(**options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_taken():
    assert not RayOptions()
    assert RayOptions(resources='{"spot": 1, "big": 0.5}').wanted == {"spot": 1.0, "big": 0.5}
    for address in ("auto", "10.0.0.7:6379", "[::1]:6379"):
        assert RayOptions(address=address)


def test_folders_of_the_runtime_environment_are_beside_its_file(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    file = tmp_path / "env.yaml"
    file.write_text("working_dir: code\npy_modules: [code, s3://b/c.zip]\nenv_vars: {A: b}\n")
    monkeypatch.chdir("/")
    assert RayOptions(runtime_env=str(file)).environment() == {
        "working_dir": str(tmp_path / "code"),
        "py_modules": [str(tmp_path / "code"), "s3://b/c.zip"],
        "env_vars": {"A": "b"},
    }


@pytest.mark.parametrize("content", ["- a", "a: [", "text", "\xff"])
def test_a_file_that_is_no_runtime_environment(content, tmp_path):
    file = tmp_path / "env.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidValueError, match="must be"):
        RayOptions(runtime_env=str(file)).environment()


@pytest.mark.long
def test_other_executors_do_without_ray():
    script = "import sys, actsearch.run; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
