"""What lets a shell complete commands and options."""

from __future__ import annotations

import shutil
import subprocess

import pytest

pytest.importorskip("shtab")
TRY = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_shtab_actsearch
echo "${{COMPREPLY[@]}}"
"""


def test_bash_completes(actsearch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns/studies/digits").mkdir(parents=True)
    script = tmp_path / "actsearch"
    script.write_text(actsearch("completion", "bash").stdout)

    def completed(words):
        text = TRY.format(script=script, words=words)
        done = subprocess.run([shutil.which("bash"), "-c", text], capture_output=True, text=True)
        return done.stdout.split()

    assert {"search", "show", "studies", "sites"} <= set(completed("actsearch s"))
    assert completed("actsearch search cl") == ["classification"]
    assert completed("actsearch search flow --samp") == ["--sampler"]
    assert completed("actsearch search flow --sampler t") == ["tpe"]
    assert completed("actsearch show ''") == ["digits"]
    assert completed("actsearch measure digits --pic") == ["--pictures"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_the_options(shell, actsearch):
    shown = actsearch("completion", shell)
    assert shown.returncode == 0, shown.stderr
    assert "granularity" in shown.stdout
    assert "unknown" not in shown.stderr


def test_refused(actsearch, monkeypatch):
    assert "invalid choice: 'fsh'" in actsearch("completion", "fsh").stderr
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    told = actsearch("completion", "bash")
    assert told.returncode == 2
    assert "pip install 'actsearch[completion]'" in told.stderr
