"""Robustness of a classifier: the corruptions of CIFAR-10-C, adversarial attacks, and the accuracy under both."""

from lightning_topolip.robustness.accuracy import Accuracy, wilson_interval
from lightning_topolip.robustness.attacks import ATTACKS, fgsm, pgd
from lightning_topolip.robustness.autoattack import autoattack
from lightning_topolip.robustness.corruptions.cifar10_c import read_cifar10_c
from lightning_topolip.robustness.corruptions.corrupt import CORRUPTIONS, SEVERITIES, corrupt, corrupt_tensor
from lightning_topolip.robustness.evaluation import RobustnessReport, evaluate_robustness
from lightning_topolip.robustness.masking import masked_gradients
from lightning_topolip.robustness.perturbation_path import PerturbationPath, perturbation_drifts
from lightning_topolip.robustness.perturbations import attack_family, corruption_family, noise_family, perturbed
from lightning_topolip.robustness.predictor import predictor
from lightning_topolip.robustness.square import square

__all__ = [
    "ATTACKS",
    "Accuracy",
    "CORRUPTIONS",
    "PerturbationPath",
    "RobustnessReport",
    "SEVERITIES",
    "attack_family",
    "autoattack",
    "corrupt",
    "corrupt_tensor",
    "corruption_family",
    "evaluate_robustness",
    "fgsm",
    "masked_gradients",
    "noise_family",
    "perturbation_drifts",
    "perturbed",
    "pgd",
    "predictor",
    "read_cifar10_c",
    "square",
    "wilson_interval",
]
