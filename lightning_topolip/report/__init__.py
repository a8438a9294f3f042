"""The report of a study: one self-contained HTML file."""

from lightning_topolip.report.page import write_report

__all__ = ["write_report"]
