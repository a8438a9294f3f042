"""The names of numbers and perturbations, as people read them."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "topolip": "TopoLip",
    "speed_mean": "mean speed",
    "speed_max": "largest speed",
    "input_drift": "drift from the input",
    "paired_speed": "mean paired speed (RTD-Lite)",
    "topolip_raw": "raw TopoLip",
    "speed_mean_raw": "raw mean speed",
    "drift": "drift from layer to layer",
    "paired_drift": "paired drift from layer to layer (RTD-Lite)",
    "noise": "noise of TopoLip",
    "signal": "signal of TopoLip",
    "scale": "mean distance",
    "epoch_drift": "epoch drift",
    "late_epoch_drift": "late epoch drift",
    "path_length": "path length",
    "two_nn_dimension": "intrinsic dimension (TwoNN)",
    "participation_ratio": "participation ratio",
    "covering_dimension": "covering dimension",
    "total_variance": "total variance",
    "covering_number": "covering number",
    "packing_number": "packing number",
    "pairwise_lipschitz": "Lipschitz constant on pairs (lower bound)",
    "pairwise_step": "Lipschitz constant of a layer on pairs (lower bound)",
    "local_lipschitz": "largest local Lipschitz constant (lower bound)",
    "local_lipschitz_mean": "mean local Lipschitz constant (lower bound)",
    "local_step": "mean local Lipschitz constant of a step (lower bound)",
    "lipschitz_bound": "Lipschitz constant (upper bound)",
    "accuracy": "accuracy",
    "validation_accuracy": "validation accuracy",
    "corruption_accuracy": "accuracy under corruption",
    "corruption_drop": "accuracy lost to corruption",
    "fgsm_drop": "accuracy lost to FGSM",
    "pgd_drop": "accuracy lost to PGD",
    "autoattack_drop": "accuracy lost to AutoAttack",
    "attack_drop": "accuracy lost to attacks",
    "images": "test images",
    "masked_gradients": "images without a gradient",
    "perturbation_drift": "drift of a perturbation",
    "perturbation_displacement": "displacement by a perturbation",
    "perturbation_gain": "mean gain on a perturbation",
    "perturbation_gain_median": "median gain on a perturbation",
    "parameters": "parameters",
}
"""The name of every number of `SUMMARIES` and of every quantity in a table of results, for the middle of a sentence."""

_PERTURBATIONS = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "autoattack": "AutoAttack",
    "jpeg_compression": "JPEG compression",
    "gaussian_noise": "Gaussian noise",
}


def capitalised(name: str) -> str:
    """Write a name for the start of a sentence.

    Example:
        >>> capitalised(NAMES["path_length"]), capitalised(NAMES["topolip"])
        ('Path length', 'TopoLip')
    """
    return name[:1].upper() + name[1:]


def condition_name(condition: str) -> str:
    """Write the name of a corruption or attack.

    Example:
        >>> condition_name("pgd"), condition_name("gaussian_noise"), condition_name("motion_blur")
        ('PGD', 'Gaussian noise', 'motion blur')
    """
    return _PERTURBATIONS.get(condition, condition.replace("_", " "))
