"""What a random draw is called that stands beside a strategy with `budget: auto`; readers of results need it, too."""


def random_as(label: str) -> str:
    """Return the name in tables of the draw of as many examples as a strategy takes."""
    return f"random as {label}"


def is_random_as(label: str) -> bool:
    """Tell whether a name in tables is that of such a draw."""
    return label.startswith(random_as(""))
