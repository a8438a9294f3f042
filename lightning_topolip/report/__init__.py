"""The report of a study: one HTML file that needs nothing beside it."""

from lightning_topolip.report.page import write_report

__all__ = ["write_report"]
