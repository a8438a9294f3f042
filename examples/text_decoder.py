"""Train a small transformer decoder on real text, and watch how smoothly it carries a sentence to its last letter.

    python examples/text_decoder.py --epochs 8          a few minutes on one core

Sentences differ in length, so a batch is padded. The callback finds the batch's `attention_mask`, and
`reduction="last"` takes the last real letter of every sentence, which has seen all others.
"""

import argparse
import json
from pathlib import Path

import torch
from lightning import LightningModule, Trainer, seed_everything
from text_sentences import sentences
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from lightning_topolip import TopoLipCallback

LETTERS = 128


class Decoder(LightningModule):
    """A causal transformer that predicts the next letter."""

    def __init__(self, width: int = 64, depth: int = 6, longest: int = 160) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(LETTERS, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, LETTERS))

    def forward(self, input_ids: Tensor) -> Tensor:
        length = input_ids.shape[1]
        states = self.letters(input_ids) + self.places.weight[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=states.device)
        for block in self.blocks:
            states = block(states, src_mask=mask, is_causal=True)
        return self.head(states)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        return self._loss(batch, "train/loss")

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        self._loss(batch, "val/loss")

    def _loss(self, batch: dict[str, Tensor], name: str) -> Tensor:
        following = batch["input_ids"][:, 1:].masked_fill(batch["attention_mask"][:, 1:] == 0, -100)
        loss = cross_entropy(self(batch["input_ids"])[:, :-1].transpose(1, 2), following)
        self.log(name, loss, prog_bar=True, batch_size=len(following))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


def padded(texts: list[str]) -> dict[str, Tensor]:
    """The letters of sentences, padded at the end, and where they are real."""
    rows = [torch.tensor(list(text.encode("ascii", "replace"))) for text in texts]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([[len(row)] for row in rows])
    return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths).long()}


def main() -> None:
    """Train, and write the numbers of the last analysis."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--output", type=Path, default=Path("text_decoder.json"))
    options = parser.parse_args()
    seed_everything(0)
    texts = sentences()[: options.texts]
    held_out, kept = texts[::8], [text for place, text in enumerate(texts) if place % 8]
    train = DataLoader(kept, batch_size=32, shuffle=True, collate_fn=padded)
    validation = DataLoader(held_out, batch_size=64, collate_fn=padded)
    smoothness = TopoLipCallback("blocks.*", reduction="last")
    trainer = Trainer(max_epochs=options.epochs, callbacks=[smoothness], log_every_n_steps=10)
    trainer.fit(Decoder(), train, validation)
    report = smoothness.history.last
    print(report)
    loss = trainer.callback_metrics["val/loss"]
    print(f"Validation loss {loss:.2f} per letter; now: tensorboard --logdir lightning_logs")
    numbers = {name: value for name, value in report.to_dict().items() if name != "diagrams"}
    options.output.write_text(json.dumps(numbers) + "\n")


if __name__ == "__main__":
    main()
