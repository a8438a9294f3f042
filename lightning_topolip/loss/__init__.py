"""TopoLip as a loss: the smoothness of a path of point clouds, with its gradient.

Sources: Carriere, Chazal, Glisse, Ike, Kannan, Umeda, "Optimizing persistent homology based functions",
arXiv:2010.08356; Poulenard, Skraba, Ovsjanikov, "Topological function optimization for continuous shape matching",
DOI 10.1111/cgf.13487.
"""

from lightning_topolip.loss.functional import topolip_loss
from lightning_topolip.loss.module import TopoLipLoss

__all__ = ["TopoLipLoss", "topolip_loss"]
