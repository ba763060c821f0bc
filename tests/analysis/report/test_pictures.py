import base64
from io import BytesIO

import numpy as np
from PIL import Image

from raybert.analysis.report.pictures import read_pictures, size_of, with_fewer_colours


def write_picture(folder, name, noise=False, size=(120, 80)):
    path = folder / "plots" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(len(name))
    pixels = (
        generator.integers(0, 255, (*size[::-1], 3), np.uint8) if noise else np.full((*size[::-1], 3), 200, np.uint8)
    )
    Image.fromarray(pixels).save(path)
    return path.stat().st_size


def names(pictures):
    return {section: [picture.file for picture in found] for section, found in pictures.by_section.items()}


def test_plots_stand_in_their_sections_in_the_order_of_their_declaration(tmp_path):
    for name in ("overlap", "search_cost", "cost", "accuracy", "monitor/loss", "undeclared"):
        write_picture(tmp_path, name)
    found = read_pictures(tmp_path, "accuracy")
    assert names(found) == {
        "comparison": ["plots/accuracy.png"],
        "cost": ["plots/cost.png"],
        "selected": ["plots/overlap.png"],
        "search": ["plots/search_cost.png"],
        "training": ["plots/monitor/loss.png"],
    }
    assert found.left_out == ()


def test_a_picture_has_its_size_and_says_what_it_shows(tmp_path):
    write_picture(tmp_path, "overlap", size=(120, 80))
    (picture,) = read_pictures(tmp_path, "macro F1").of("selected")
    assert (picture.width, picture.height) == (120, 80)
    assert picture.alt == (
        "Plot: overlap. how far the subsets of every two strategies agree. The tables of this page have its numbers "
        "(macro F1)."
    )
    content = base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))
    assert content == (tmp_path / "plots" / "overlap.png").read_bytes()


def test_what_is_too_much_becomes_smaller_and_then_is_left_out_from_the_end(tmp_path):
    sizes = [write_picture(tmp_path, name, noise=True) for name in ("accuracy", "cost", "overlap")]
    smaller = len(with_fewer_colours((tmp_path / "plots" / "cost.png").read_bytes()))
    assert smaller < sizes[1] / 2
    found = read_pictures(tmp_path, "accuracy", most_bytes=sum(sizes) - 1)
    assert len(names(found)) == 3
    assert sum(len(picture.source) for part in found.by_section.values() for picture in part) < sum(sizes) * 4 / 3
    found = read_pictures(tmp_path, "accuracy", most_bytes=round(2.2 * smaller))
    assert names(found) == {"comparison": ["plots/accuracy.png"], "cost": ["plots/cost.png"]}
    assert found.left_out == ("plots/overlap.png",)


def test_a_picture_of_fewer_colours_is_still_the_picture(tmp_path):
    write_picture(tmp_path, "accuracy", noise=True)
    content = with_fewer_colours((tmp_path / "plots" / "accuracy.png").read_bytes())
    assert size_of(content) == Image.open(BytesIO(content)).size == (120, 80)


def test_what_is_no_picture_is_passed_by(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "accuracy.png").touch()
    assert read_pictures(tmp_path, "accuracy").by_section == {}


def test_a_colour_stays_that_of_its_strategy_among_all_that_edges_add(tmp_path):
    generator, colours = np.random.default_rng(3), ((204, 34, 0), (0, 51, 190), (70, 170, 100), (255, 120, 10))
    pixels = np.full((400, 400, 3), 255, np.uint8)
    pixels[:100] = generator.integers(0, 255, (100, 400, 1), np.uint8)  # greys of letters
    pixels[100:200] = generator.integers(150, 255, (100, 400, 3), np.uint8)  # pale edges
    for number, colour in enumerate(colours):
        pixels[200 + 50 * number : 250 + 50 * number] = colour
    saved = BytesIO()
    Image.fromarray(pixels).save(saved, "PNG")
    reduced = np.asarray(Image.open(BytesIO(with_fewer_colours(saved.getvalue()))).convert("RGB")).astype(int)
    for number, colour in enumerate(colours):
        assert np.abs(reduced[225 + 50 * number, 200] - colour).max() < 10
