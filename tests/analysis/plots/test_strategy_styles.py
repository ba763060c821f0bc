from itertools import combinations

import numpy as np
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.plots.strategy_styles import CONTROLS, PALETTE, blend, strategy_styles, styles_of
from tests.analysis.folders import make_spec, write_plan

VISIONS = {  # Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
NAMES = ["random", *(f"strategy_{i}" for i in range(30)), "all"]


def lab(colours, vision):
    """(n, 3) CIELAB of colours as somebody sees them."""
    rgb = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISIONS[vision]).T, 0, 1)
    xyz = seen @ np.array(TO_XYZ).T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_white_and_black_are_100_apart_in_the_lab_of_this_test():
    assert lab(["#ffffff", "#000000"], "usual") == pytest.approx(np.array([[100, 0, 0], [0, 0, 0]]), abs=0.05)


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_are_far_apart_for_colour_blind_readers(vision):
    shown = [*PALETTE, *(CONTROLS[name].colour for name in ("random", "random_epoch", "all"))]
    for (one, a), (other, b) in combinations(zip(shown, lab(shown, vision), strict=True), 2):
        assert np.linalg.norm(a - b) > 20, (one, other)


def test_lines_stand_out_from_white_paper():
    assert lab(PALETTE, "usual")[:, 0].max() < 73


def test_strategies_of_one_lightness_have_other_dashes_and_markers():
    styles = list(strategy_styles(NAMES).values())[1:9]
    light = lab([style.colour for style in styles], "usual")[:, 0]
    for i, j in combinations(range(len(styles)), 2):
        assert styles[i].marker != styles[j].marker
        if abs(light[i] - light[j]) < 15:
            assert styles[i].dash != styles[j].dash


def test_thirty_strategies_each_have_a_style_of_their_own():
    styles = strategy_styles(NAMES)
    assert len(styles) == 32
    assert len({(style.colour, style.dash) for style in styles.values()}) == 32
    assert len({(style.colour, style.marker) for style in styles.values()}) == 32


def test_controls_look_the_same_in_every_sweep():
    for names in (["el2n", "random"], ["random", "all", "k_center", "random_epoch", "proxy"]):
        styles = strategy_styles(names)
        assert {name: styles[name] for name in names if name in CONTROLS} == {
            name: CONTROLS[name] for name in names if name in CONTROLS
        }
    assert strategy_styles(["el2n", "random"])["el2n"] == strategy_styles(["all", "el2n"])["el2n"]


def test_styles_go_by_the_plan_without_what_only_serves_a_score(tmp_path):
    specs = [make_spec(name, seed) for seed in (0, 1) for name in ("proxy_fold", "proxy", "random", "el2n", "aum")]
    styles = styles_of(load_sweep(write_plan(tmp_path, specs)))
    assert list(styles) == ["proxy", "random", "el2n", "aum"]
    assert styles["aum"] == strategy_styles(["el2n", "aum"])["aum"]


def test_a_half_full_point_is_half_white():
    assert [blend("#0066dd", fill) for fill in (0.0, 0.5, 1.0)] == ["#ffffff", "#80b2ee", "#0066dd"]
    point = strategy_styles(["a"])["a"].point(fill=0.0, markersize=4)
    assert (point["markerfacecolor"], point["markeredgecolor"], point["markersize"]) == ("#ffffff", PALETTE[0], 4)
