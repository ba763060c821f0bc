"""`report.html`: one page of a sweep, complete in itself, for people who were not there."""

from raybert.analysis.report.page import REPORT_FILE, Published, report_html, write_report

__all__ = ["REPORT_FILE", "Published", "report_html", "write_report"]
