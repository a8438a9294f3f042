"""Networks of many families, small enough for a test, and batches for them."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import transformers
from lightning import LightningModule
from torch import Tensor, nn

N, T, D = 12, 6, 8
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 16,
}
IDS = torch.randint(3, 50, (N, T), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(T) < torch.arange(N).remainder(4)[:, None] + 3).long()
TEXT = {"input_ids": IDS, "attention_mask": MASK, "labels": torch.zeros(N, dtype=torch.long)}
IMAGES = torch.randn(N, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SEQUENCES = torch.randn(N, T, D, generator=torch.Generator().manual_seed(0))


def hugging_face(kind: str) -> tuple[nn.Module, Any]:
    images = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "bert":
            return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)), TEXT
        if kind == "gpt2":
            config = transformers.GPT2Config(
                n_embd=16, n_layer=3, n_head=2, vocab_size=50, n_positions=16, bos_token_id=0, eos_token_id=0
            )
            return transformers.GPT2LMHeadModel(config), {**TEXT, "labels": IDS}
        if kind == "t5":
            config = transformers.T5Config(
                d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=50, decoder_start_token_id=0
            )
            return transformers.T5ForConditionalGeneration(config), {**TEXT, "labels": IDS[:, :4]}
        if kind == "albert":
            return transformers.AlbertModel(transformers.AlbertConfig(**SMALL, embedding_size=8)), TEXT
        config = transformers.ViTConfig(**images, image_size=32, patch_size=8)
        return transformers.ViTForImageClassification(config), {"pixel_values": IMAGES, "labels": TEXT["labels"]}


def double_conv(inputs: int, outputs: int) -> nn.Module:
    return DoubleConv(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1))


class DoubleConv(nn.Sequential):
    pass


class Down(nn.Sequential):
    pass


class Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        self.conv = double_conv(inputs, outputs)

    def forward(self, deep: Tensor, skipped: Tensor) -> Tensor:
        return self.conv(torch.cat([skipped, self.up(deep)], dim=1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = double_conv(3, 4)
        self.down1 = Down(nn.MaxPool2d(2), double_conv(4, 8))
        self.down2 = Down(nn.MaxPool2d(2), double_conv(8, 16))
        self.up1 = Up(16, 8)
        self.up2 = Up(8, 4)
        self.end = nn.Conv2d(4, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = self.start(images)
        second = self.down1(first)
        return self.end(self.up2(self.up1(self.down2(second), second), first))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(D, 6), nn.Tanh(), nn.Linear(6, 2))
        self.decoder = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, D))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(inputs)
        return self.decoder(code), code


class Residual(nn.Module):
    def __init__(self, width: int = D) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.outer(torch.relu(self.inner(inputs)))


class GAN(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(*[nn.Linear(D, D) for _ in range(3)])
        self.discriminator = nn.Sequential(*[Residual() for _ in range(3)])

    def forward(self, noise: Tensor) -> Tensor:
        return self.generator(noise)


class Matcher(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual() for _ in range(3))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        for block in self.blocks:
            left = block(left) + right
        return left


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], batch_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 4)
        self.first = kind(4, 5, batch_first=batch_first)
        self.second = kind(5, 5, batch_first=batch_first)
        self.head = nn.Linear(5, 2)
        self.batch_first = batch_first

    def forward(self, ids: Tensor) -> Tensor:
        tokens = self.embedding(ids if self.batch_first else ids.T)
        hidden, _ = self.second(self.first(tokens)[0])
        return self.head(hidden)
