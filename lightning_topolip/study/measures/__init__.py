"""What is measured of a trained network, from its snapshots; every function gives `Measured` numbers."""

from lightning_topolip.study.measures.course import Course, measure_course
from lightning_topolip.study.measures.measured import Measured

__all__ = ["Course", "Measured", "measure_course"]
