"""From a results folder to tables, statistics and plots."""

from raybert.analysis.frames import Sweep, load_sweep
from raybert.analysis.overlap import overlap_table
from raybert.analysis.publish import publish_results
from raybert.analysis.stats import best_configurations, summarize, verdict_sentences
from raybert.analysis.table import summary_table

__all__ = [
    "Sweep",
    "best_configurations",
    "load_sweep",
    "overlap_table",
    "publish_results",
    "summarize",
    "summary_table",
    "verdict_sentences",
]
