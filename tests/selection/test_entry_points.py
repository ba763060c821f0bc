"""Strategies that installed packages register."""

import pytest


def test_a_package_registers_its_strategies_as_entry_points(monkeypatch):
    from importlib.metadata import EntryPoint

    from raybert import Strategy, selection

    point = EntryPoint("from_a_package", "raybert.selection.strategies:KCenter", "raybert.strategies")
    monkeypatch.setattr("raybert.selection.catalogue.entry_points", lambda group: [point])
    monkeypatch.setattr("raybert.selection.registry.strategies", dict(selection.registry.strategies))
    assert issubclass(selection.find_strategy("from_a_package"), Strategy)
    wrong = EntryPoint("wrong", "raybert.selection:Pool", "raybert.strategies")
    monkeypatch.setattr("raybert.selection.catalogue.entry_points", lambda group: [wrong])
    with pytest.raises(Exception, match=r"raybert\.strategies: 'raybert\.selection:Pool': must be a subclass"):
        selection.find_strategy("wrong")
