"""A table of every network of a study on images after its last epoch: TopoLip, accuracies, and accuracy under PGD.

python examples/outcomes.py docs/results/intervention
"""

import argparse
from pathlib import Path

import numpy as np

from lightning_topolip.study.judging.results import Results, results_file


def outcomes_table(folder: Path) -> str:
    """Means over seeds and data, geometric for TopoLip, as Markdown."""
    results = Results.read(results_file(folder))
    lines = [
        "| network | TopoLip | validation accuracy | test accuracy | under PGD |",
        "| --- | --- | --- | --- | --- |",
    ]
    for model in results.unique("model"):
        last = results.where(model=model).last_epoch()
        topolip = np.exp(np.log(last.where(quantity="topolip", variant="scaled W2").values()).mean())
        accuracy = last.where(quantity="accuracy")
        attacked = accuracy.where(condition="pgd")
        parts = [accuracy.where(condition="validation"), accuracy.where(condition="clean")]
        parts += [attacked.where(strength=strength) for strength in attacked.unique("strength")]
        validation, clean, *pgd = (f"{100 * part.values().mean():.0f}" for part in parts)
        lines.append(f"| {model} | {topolip:.2g} | {validation} % | {clean} % | {', '.join(pgd)} % |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(outcomes_table(parser.parse_args().folder))


if __name__ == "__main__":
    main()
