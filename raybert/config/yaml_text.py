"""YAML as sweep files use it, read with limits: a file of somebody else's must not take all time or memory."""

from __future__ import annotations

import re
from typing import Any

import yaml

from raybert.errors import ConfigError
from raybert.plain import cut_lines, printable

MOST_TEXT = 2_000_000
"""Letters of a file; the longest of our own have a few thousand."""
MOST_VALUES = 200_000
"""Values of a file once every alias stands for what it names."""
MOST_LETTERS = 4_000_000
"""Letters of these values."""
_LONGEST_NUMBER = 100
"""Digits; Python refuses whole numbers of 4,300 with an error of its own."""
_LONGEST_PROBLEM = 300


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `2e-5` is a float and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise yaml.constructor.ConstructorError(None, None, "keys must be words", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {cut_lines(repr(key), 80)} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return int(super().construct_yaml_int(_short(node)))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return float(super().construct_yaml_float(_short(node)))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def parse_yaml(text: str, origin: str) -> Any:
    """Return what a YAML text says.

    Args:
        text: of a file, or a value of `--set`.
        origin: of the text, for errors.

    Raises:
        ConfigError: it is not valid, or says too much: one line.
    """
    if len(text) > MOST_TEXT:
        raise ConfigError(f"{origin}: must be a text of at most {MOST_TEXT:,} letters, got {len(text):,}")
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, origin)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}: not valid YAML: {_as_a_line(problem)}") from None
    except RecursionError:
        raise ConfigError(
            f"{origin}: must not be nested so deeply (Python's limit of nested calls is reached)"
        ) from None
    except (ValueError, OverflowError) as error:  # a date without such a day, and the like
        raise ConfigError(f"{origin}: not valid YAML: {_as_a_line(str(error))}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_size(root: yaml.Node, origin: str) -> None:
    """Refuse aliases that stand for more than a sweep file holds, without filling any of them in.

    Raises:
        ConfigError: says how much it would be.
    """
    sizes: dict[int, tuple[int, int]] = {}
    open_nodes: set[int] = set()

    def size_of(node: yaml.Node) -> tuple[int, int]:
        key = id(node)
        if key in open_nodes:
            raise ConfigError(f"{origin}: not valid YAML: an alias must not stand inside what it names")
        if key not in sizes:
            open_nodes.add(key)
            parts = [size_of(part) for part in _parts(node)]
            letters = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
            sizes[key] = (1 + sum(count for count, _ in parts), letters + sum(length for _, length in parts))
            open_nodes.remove(key)
        return sizes[key]

    values, letters = size_of(root)
    if values > MOST_VALUES or letters > MOST_LETTERS:
        raise ConfigError(
            f"{origin}: must hold at most {MOST_VALUES:,} values and {MOST_LETTERS:,} letters once its aliases are "
            f"filled in, got {_count(values)} and {_count(letters)}"
        )


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _short(node: yaml.ScalarNode) -> yaml.ScalarNode:
    if len(node.value) > _LONGEST_NUMBER:
        raise yaml.constructor.ConstructorError(
            None, None, f"a number must have at most {_LONGEST_NUMBER} digits, got {len(node.value):,}", node.start_mark
        )
    return node


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "over 10^12"


def _as_a_line(problem: str) -> str:
    return cut_lines(printable(problem), _LONGEST_PROBLEM)
