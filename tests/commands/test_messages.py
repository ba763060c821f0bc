"""What raybert says to users of Python makes sense to them, and is in the words of the field."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import raybert

PACKAGE = Path(raybert.__file__).parent
OF_THE_COMMAND_LINE = ("cli", "terminal/")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
WHOLE_COMMAND = re.compile(r"raybert |`ray start |`docker run ")
IDIOM = re.compile(r"sign of life|signs of life|\bword of\b|without a word|pause back|leave word", re.IGNORECASE)


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Every text in the code, docstrings apart; what an f-string puts in is left out."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.value


MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")
}


def test_a_message_that_names_a_flag_names_the_parameter_or_is_a_whole_command():
    found = [
        (module, text)
        for module, tree in MODULES.items()
        if not module.startswith(OF_THE_COMMAND_LINE)
        for text in texts_of(tree)
        if FLAG.search(text) and " " in text and "Python: `" not in text and not WHOLE_COMMAND.search(text)
    ]
    assert found == []
    assert FLAG.search("give --output another folder")


def test_messages_use_the_nouns_of_the_field():
    assert [(m, text) for m, tree in MODULES.items() for text in texts_of(tree) if IDIOM.search(text)] == []
