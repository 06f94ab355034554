"""A study's placement as ONNX and C, by command."""

from __future__ import annotations

import pytest

from actsearch.export import c_compiler

SEARCH = [
    *("search", "own.Own", "--space", "space.yaml", "--trials", "2", "--confirm", "0"),
    *("--store", "store", "--study", "found", "--executor", "inline", "--learning-rate", "fixed"),
    *("--trainer.max_epochs", "1", "--monitor", "val_loss", "--mode", "max"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_study_s_placement_is_written_and_checked(own, actsearch, monkeypatch):
    assert actsearch(*SEARCH).returncode == 0
    export = ("export", "found", "--store", "store", "--to")
    written = actsearch(*export, "c", "--output", "net/found.c")
    assert written.returncode == 0, written.stderr
    assert "net/found.c: 420 bytes of weights" in written.stdout
    if c_compiler() is not None:
        assert "C against torch: " in written.stdout
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    alone = actsearch(*export, "c")
    assert alone.returncode == 0
    assert "not compiled: there is no cc, gcc or clang" in alone.stdout
    assert (own / "found.c").read_text() == (own / "net/found.c").read_text()
    other = actsearch(*export, "c", "--seed", "1")
    assert "training the placement" in other.stderr
    assert (own / "found.c").read_text() != (own / "net/found.c").read_text()
    pytest.importorskip("onnxruntime")
    written = actsearch(*export, "onnx")
    assert written.returncode == 0, written.stderr
    assert "bytes, any number of samples\nONNX Runtime against torch: " in written.stdout


def test_what_cannot_be_exported_is_told_in_one_line(own, actsearch):
    assert "unknown study 'nothing'" in actsearch("export", "nothing", "--to", "c").stderr
    assert "arguments are required: --to" in actsearch("export", "found").stderr
