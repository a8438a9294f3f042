"""Image classifiers to watch: transformers and convolution networks from timm behind one LightningModule."""

from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.resnet import ResNetClassifier
from lightning_topolip.models.vit import ViTClassifier

__all__ = ["ImageClassifier", "ResNetClassifier", "ViTClassifier"]
