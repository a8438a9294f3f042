"""The sections of a report, in the order of the page."""

from collections.abc import Callable

from lightning_topolip.report.blocks import Section
from lightning_topolip.report.sections.claims import claims
from lightning_topolip.report.sections.depth import depth
from lightning_topolip.report.sections.diagrams import diagrams
from lightning_topolip.report.sections.geometry import geometry
from lightning_topolip.report.sections.limits import limits
from lightning_topolip.report.sections.lipschitz import lipschitz
from lightning_topolip.report.sections.maps import maps
from lightning_topolip.report.sections.numbers import numbers
from lightning_topolip.report.sections.robustness import robustness
from lightning_topolip.report.sections.runs import runs
from lightning_topolip.report.sections.smoothness_and_robustness import smoothness_and_robustness
from lightning_topolip.report.sections.summary import summary
from lightning_topolip.report.sections.training import training
from lightning_topolip.report.source import Source

SECTIONS: tuple[Callable[[Source], Section], ...] = (
    summary,
    claims,
    depth,
    training,
    maps,
    diagrams,
    geometry,
    lipschitz,
    robustness,
    smoothness_and_robustness,
    runs,
    limits,
    numbers,
)
