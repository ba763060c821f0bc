"""From a results folder to tables, statistics and plots."""

from raybert.analysis.publish import publish_results
from raybert.analysis.results.estimates import estimate_line, estimate_table
from raybert.analysis.results.failures import find_failures
from raybert.analysis.results.load import load_sweep
from raybert.analysis.results.several import Sweeps, load_sweeps
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.search import Search
from raybert.analysis.statistics.overlap import overlap_table, same_rankings
from raybert.analysis.statistics.summary import summarize
from raybert.analysis.statistics.verdicts import verdict_sentences
from raybert.sweeping.folder.failures import FailureGroup

__all__ = [
    "FailureGroup",
    "Search",
    "Sweep",
    "Sweeps",
    "estimate_line",
    "estimate_table",
    "find_failures",
    "load_sweep",
    "load_sweeps",
    "overlap_table",
    "publish_results",
    "same_rankings",
    "summarize",
    "verdict_sentences",
]
