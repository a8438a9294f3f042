"""Real images for training: pixels in [0, 1], which the models normalise."""

from lightning_topolip.data.cifar10 import CIFAR10DataModule
from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.digits import DigitsDataModule
from lightning_topolip.data.folder import ImageFolderDataModule
from lightning_topolip.data.medmnist import MedMNISTDataModule
from lightning_topolip.data.mnist import MNISTDataModule

__all__ = [
    "CIFAR10DataModule",
    "DigitsDataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "MNISTDataModule",
    "MedMNISTDataModule",
]
