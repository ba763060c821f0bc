import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from raybert.analysis.plot_formats import formats_of, in_formats
from raybert.analysis.plots.saving import remove_figure, save_figure
from tests.analysis.folders import write_resolved

HOSTILE = "<script>alert(1)</script> & $x$ \x1b[31m ]]> --> \u202e '\" \ufffe"


def figure_of(name):
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.subplots()
    axes.plot([1, 2], [1, 10], "o-", label=name)
    axes.set_yscale("log")
    axes.set_title(name)
    figure.legend(loc="outside lower center")
    return figure


def test_a_figure_is_a_png_and_an_svg_of_one_size(tmp_path):
    save_figure(figure_of("el2n"), tmp_path / "a (x=0.5).png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a (x=0.5).png", "a (x=0.5).svg"]
    assert imread(tmp_path / "a (x=0.5).png").shape == (300, 450, 4)
    root = ET.parse(tmp_path / "a (x=0.5).svg").getroot()
    assert (root.get("width"), root.get("height")) == ("216pt", "144pt")


def test_a_line_above_makes_both_files_taller(tmp_path):
    save_figure(figure_of("el2n"), tmp_path / "a.png", "12 of 40 points")
    assert imread(tmp_path / "a.png").shape == (337, 450, 4)
    assert ET.parse(tmp_path / "a.svg").getroot().get("height") == "162pt"


def test_the_same_figure_is_the_same_file(tmp_path):
    for name in ("a", "b"):
        save_figure(figure_of("el2n"), tmp_path / f"{name}.png")
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    for words in (b"<dc:date>", b"Matplotlib v", b"matplotlib.org"):
        assert words not in (tmp_path / "a.svg").read_bytes()


def test_names_in_an_svg_are_text_and_nothing_else(tmp_path):
    save_figure(figure_of(HOSTILE), tmp_path / "a.png")
    root = ET.parse(tmp_path / "a.svg").getroot()
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not kinds & {"script", "a", "foreignObject", "image"}
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text")]
    shown = [text for text in texts if "script" in text]
    assert len(shown) == 2  # of the title and of the legend
    assert shown[0] == "<script>alert(1)</script> & $x$ \\x1b[31m ]]> --> \\u202e '\" \\ufffe"


def test_formats_that_are_not_wanted_are_removed(tmp_path):
    save_figure(figure_of("a"), tmp_path / "a.png")
    for formats in (["svg"], ["png"], [], ["png", "svg"]):
        with in_formats(formats):
            save_figure(figure_of("a"), tmp_path / "a.png")
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{each}" for each in formats]
    with in_formats([]):
        remove_figure(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_both_formats_are_laid_out_alike(tmp_path):
    figure = figure_of("el2n")
    save_figure(figure, tmp_path / "a.png")
    again = figure_of("el2n")
    again.get_layout_engine().set(w_pad=0.07, h_pad=0.07)
    again.savefig(tmp_path / "b.png", dpi=150)  # matplotlib lays it out itself
    place, other = (np.array(each.axes[0].get_position().extents) for each in (figure, again))
    assert np.abs(place - other).max() < 1e-6


@pytest.mark.parametrize(("plots", "expected"), [(["svg"], ("svg",)), ([], ()), (None, ("png", "svg"))])
def test_formats_are_those_of_the_folder_or_all(tmp_path, plots, expected):
    if plots is not None:
        write_resolved(tmp_path, sweep={"strategies": ["random"], "plots": plots})
    assert tuple(formats_of(tmp_path)) == expected
    with in_formats(formats_of(tmp_path)):
        assert [path.suffix[1:] for path in save_figure(Figure((1, 1)), tmp_path / "a.png")] == list(expected)
    assert formats_of(None) == ("png", "svg")
