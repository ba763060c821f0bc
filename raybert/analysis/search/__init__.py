"""From the Optuna studies of a sweep to tables: what was tried, what it cost, which parameters matter."""

from raybert.analysis.search.search import Search, foreign_database, load_search
from raybert.analysis.search.tables import Parameter

__all__ = ["Parameter", "Search", "foreign_database", "load_search"]
