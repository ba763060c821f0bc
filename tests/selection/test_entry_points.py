"""Strategies that installed packages register."""

import pytest


def test_a_package_registers_its_strategies_as_entry_points(monkeypatch):
    from importlib.metadata import EntryPoint

    from raybert import Strategy, selection

    point = EntryPoint("from_a_package", "raybert.selection.strategies:KCenter", "raybert.strategies")
    monkeypatch.setattr("raybert.selection.catalogue.installed_parts", lambda group: [point])
    monkeypatch.setattr("raybert.selection.registry.strategies", dict(selection.registry.strategies))
    assert issubclass(selection.find_strategy("from_a_package"), Strategy)
    wrong = EntryPoint("wrong", "raybert.selection:Pool", "raybert.strategies")
    monkeypatch.setattr("raybert.selection.catalogue.installed_parts", lambda group: [wrong])
    with pytest.raises(Exception, match=r"raybert\.strategies: 'raybert\.selection:Pool': must be a subclass"):
        selection.find_strategy("wrong")


def test_entry_points_are_read_once_a_process_however_often_names_are_looked_up(monkeypatch):
    from raybert.config import imports
    from raybert.selection.catalogue import find_strategy, strategy_names
    from raybert.selection.signals import find_signal

    read = []
    monkeypatch.setattr(imports, "entry_points", lambda group: read.append(group) or ())
    imports.installed_parts.cache_clear()
    try:
        for _ in range(3):
            assert find_strategy("k_center").name == "k_center"
            assert "random" in strategy_names()
            assert find_signal("not_one_of_rayberts") is None
    finally:
        imports.installed_parts.cache_clear()  # of what was read from the replaced function
    assert read == ["raybert.strategies", "raybert.signals"]
