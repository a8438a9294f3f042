"""The tables of the documentation that are written from code: logged keys and families of models.

    python docs/tables.py            says whether the pages hold what the code says
    python docs/tables.py --write    writes them

A table stands between two comments of its page; a test compares them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
import torchvision
import transformers
from torch import nn

from lightning_topolip import TopoLipCallback, analyze, resolve_layers

DOCS = Path(__file__).parent
SWEEP = DOCS / "results" / "timm_sweep.json"

TRANSFORMERS = {
    "BertModel": "likewise RoBERTa, ELECTRA, DeBERTa",
    "DistilBertModel": "",
    "GPT2Model": "",
    "LlamaForCausalLM": "likewise Mistral, Mixtral, Mamba",
    "T5Model": "the decoder runs after the encoder: one step of the path leads from one to the other",
    "BartModel": "likewise",
    "CLIPModel": "two networks on one path, images first; select the layers of one of them",
    "ViTModel": "",
    "SwinModel": "",
    "Wav2Vec2Model": "",
    "AlbertModel": "from its second call on, the shared layer is `...#2`, `...#3`, ...",
}
TORCH = {
    "TransformerEncoder": "with two layers or one: their parts, without the last",
    "Transformer": "",
}
TORCHVISION = {
    "alexnet": "no repeated blocks: layers with weights but the last",
    "vgg11_bn": "likewise",
    "resnet18": "",
    "resnext50_32x4d": "",
    "densenet121": "the output that each layer adds to its block",
    "googlenet": "`aux1`, `aux2` do not run in evaluation mode",
    "inception_v3": "`AuxLogits` does not run in evaluation mode",
    "squeezenet1_1": "",
    "shufflenet_v2_x0_5": "",
    "mnasnet0_5": "",
    "mobilenet_v2": "",
    "mobilenet_v3_small": "",
    "efficientnet_b0": "",
    "regnet_y_400mf": "",
    "convnext_tiny": "",
    "swin_t": "",
    "vit_b_16": "",
    "maxvit_t": "",
}
TIMM = {
    "coat": "serial blocks, then parallel ones in the order in which they run",
    "crossvit": "two branches and their fusion, in the order in which they run",
    "dla": "trees of blocks",
    "gcvit": "with the blocks of stem, down-sampling and global query",
    "hrnet": "parallel branches, in the order in which they run",
    "mobilevit": "its transformer blocks work on patches: the block around them",
    "rdnet": "dense blocks: the output that each adds",
    "densenet": "the output that each layer adds to its block",
    "tnt": "the second tensor of the output, the patches",
    "vgg": "no repeated blocks: layers with weights but the last",
    "xception": "separable convolutions",
    "xception_aligned": "separable convolutions",
}


def keys_table() -> str:
    """The logged keys as the docstring of `TopoLipCallback` lists them, with a table for every list."""
    docstring = inspect.getdoc(TopoLipCallback) or ""
    section = docstring[docstring.index("**Logged keys**") : docstring.index("\n\nFigures, if the logger")]
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n(?=- )|\n\n", section)]
    lines: list[str] = []
    for paragraph in paragraphs[1:]:
        entry = re.fullmatch(r"- (``.+?``|\.{3})(?<=[`.]): (.*)", paragraph)
        if not entry:
            lines += ["", paragraph]
            continue
        if not lines or not lines[-1].startswith("| "):
            lines += ["", "| key | meaning |", "| --- | --- |"]
        lines.append(f"| {entry[1]} | {entry[2]} |")
    return "\n".join(lines).strip().replace("``", "`")


def families_table() -> str:
    """The layers that ``layers="auto"`` finds in the models of several libraries, without and with a probe."""
    rows = ["| model | layers | number | remark |", "| --- | --- | --- | --- |"]
    rows += [_row("transformers", name, *_in_transformers(name), remark) for name, remark in TRANSFORMERS.items()]
    rows += [_row("torch.nn", name, *_in_torch(name), remark) for name, remark in TORCH.items()]
    rows += [_row("torchvision", name, *_in_torchvision(name), remark) for name, remark in TORCHVISION.items()]
    for result in json.loads(SWEEP.read_text())["results"]:
        if math.isfinite(result.get("score", math.nan)):
            remark = TIMM.get(result["family"], "")
            rows.append(_row("timm", result["model"], result["patterns"], str(result["layers"]), remark))
    return "\n".join(rows)


def _row(library: str, name: str, layers: Iterable[str], number: str, remark: str) -> str:
    patterns = dict.fromkeys(re.sub(r"#\d+$", "", layer) for layer in layers)
    patterns = dict.fromkeys(re.sub(r"\d+", "N", pattern) for pattern in patterns)
    cells = [f"{library} `{name}`", ", ".join(f"`{pattern}`" for pattern in patterns), number, remark]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _in_transformers(name: str) -> tuple[list[str], str]:
    model_class = getattr(transformers, name)
    if name == "AlbertModel":  # its layer is shared: only a forward shows how often it runs
        sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
        ids = torch.randint(3, 50, (12, 6), generator=torch.Generator().manual_seed(0))
        model = model_class(model_class.config_class(**sizes, embedding_size=8, num_hidden_layers=3))
        return list(analyze(model, {"input_ids": ids}, halvings=0).layers), "one per execution"
    with torch.device("meta"):
        layers = resolve_layers(model_class(model_class.config_class()))
    return layers, "one per block" if any(".blocks." in layer for layer in layers) else "one per layer"


def _in_torch(name: str) -> tuple[list[str], str]:
    with torch.device("meta"):
        if name == "Transformer":
            return resolve_layers(nn.Transformer(16, 2, batch_first=True)), "one per layer"
        layer = nn.TransformerEncoderLayer(16, 2, batch_first=True)
        return resolve_layers(nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)), "one per layer"


def _in_torchvision(name: str) -> tuple[list[str], str]:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # RegNet reads a number while it is built
        model = getattr(torchvision.models, name)(weights=None, **options)
    layers = [layer for layer in resolve_layers(model) if not layer.lower().startswith("aux")]
    return layers, str(len(layers))


TABLES = {
    ("reading.md", "keys"): keys_table,
    ("models.md", "families"): families_table,
}


def with_table(page: str, name: str, table: str) -> str:
    """Return the text of a page with a table between its two comments."""
    begin, end = f"<!-- {name}: written by docs/tables.py -->\n", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n{table}\n\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Compare the tables of the pages with the code, or write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the tables into their pages")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for (name, table), make in TABLES.items():
        page = DOCS / name
        text = with_table(page.read_text(), table, make())
        if options.write:
            page.write_text(text)
        elif text != page.read_text():
            sys.exit(f"docs/{name} does not hold what the code says; run `python docs/tables.py --write`")


if __name__ == "__main__":
    main()
