"""Sites and placements as a screen of text and as a table."""

from __future__ import annotations

from torch import nn

from actsearch.placement import FoundSite, Placement, SiteEntry, Sites, find_sites
from actsearch.placement.shown import MOST_LINES


def test_a_placement_is_a_line_a_site():
    clip = SiteEntry(activation="clipped_relu", parameters={"ceiling": 6.0})
    found = {"study": "digits", "trial": 3, "verdict": "better", "gain": 0.1}
    placement = Placement(
        sites={"a": clip, "long": SiteEntry(activation="prelu", learn=["negative_slope"])},
        learning_rate_factor=3.0,
        found=found,
    )
    assert repr(placement).splitlines() == [
        "Placement of 2 sites, learning rate × 3, study digits, trial 3, verdict better",
        "  a     clipped_relu(ceiling=6)",
        "  long  prelu",
    ]
    assert str(placement) == repr(placement)
    assert "<td>ceiling=6</td>" in placement._repr_html_()
    assert "<td>negative_slope</td>" in placement._repr_html_()


def test_many_sites_are_a_screen():
    names = [f"net.{n}" for n in range(100)]
    placement = Placement.uniform("relu", names)
    assert len(repr(placement).splitlines()) == MOST_LINES + 1
    assert repr(placement).endswith("... and 77 more")
    assert placement._repr_html_().count("<tr>") == 101
    sites = Sites([FoundSite(name, "module", "relu") for name in names])
    assert len(repr(sites).splitlines()) == MOST_LINES + 1
    assert len(str(sites).splitlines()) == 101, "printed, all are there"


def test_sites_are_a_table_and_escaped():
    sites = find_sites(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert repr(sites).splitlines()[-1] == "1 found, 1 open, 0 protected, 0 missed; by fx"
    assert "<td>relu</td>" in sites._repr_html_()
    odd = Sites([FoundSite("<img src=x>", "module", "a&b")])
    assert "<img" not in odd._repr_html_()
    assert "&lt;img src=x&gt;" in odd._repr_html_()
    assert "a&amp;b" in odd._repr_html_()
