"""Image classifiers with one training recipe: transformers and convolutional networks, built with timm."""

from lightning_topolip.models.attention import AttentionClassifier
from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.convolution import ConvClassifier
from lightning_topolip.models.hybrid import HybridClassifier
from lightning_topolip.models.resnet import ResNetClassifier
from lightning_topolip.models.vit import ViTClassifier

__all__ = [
    "AttentionClassifier",
    "ConvClassifier",
    "HybridClassifier",
    "ImageClassifier",
    "ResNetClassifier",
    "ViTClassifier",
]
