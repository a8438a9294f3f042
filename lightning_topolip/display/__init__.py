"""Figures, loggers and tables for people."""
