"""The report of a study: one self-contained HTML file."""

from lightning_topolip.report.page import report_environment, write_report

__all__ = ["report_environment", "write_report"]
