"""The probe is taken once, and the loader does not notice."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from lightning_topolip.network.batches import model_inputs, move_batch, run_model
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.samples import samples_in

IMAGES, LABELS = torch.arange(40.0).reshape(40, 1), torch.arange(40)


class Augmented(Dataset[Tensor]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Tensor:
        return IMAGES[index] + torch.rand(1) + random.random() + np.random.rand()


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(IMAGES)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_probe_is_a_spread_over_the_data(shuffle: bool) -> None:
    images, labels = take_probe(DataLoader(TensorDataset(IMAGES, LABELS), batch_size=16, shuffle=shuffle), 20)
    assert torch.equal(images, IMAGES[labels])
    assert sorted(labels.tolist()) != labels.tolist()
    assert sorted(place // 2 for place in labels.tolist()) == list(range(20))


def test_a_small_source_gives_all_its_samples() -> None:
    assert samples_in(take_probe(DataLoader(TensorDataset(IMAGES), batch_size=16), 1000)) == 40


@pytest.mark.parametrize("workers", [0, 1])
def test_later_order_and_augmentation_of_the_loader_do_not_change(workers: int) -> None:
    def epochs(look: bool) -> list[Any]:
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        own = torch.Generator().manual_seed(5)
        shuffled = DataLoader(Augmented(), batch_size=8, sampler=RandomSampler(range(40), generator=own))
        plain = DataLoader(Augmented(), batch_size=8, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
        if look:
            take_probe(shuffled, 20), take_probe(plain, 20)
        return [list(shuffled), list(plain), list(plain)]

    torch.testing.assert_close(epochs(look=True), epochs(look=False), rtol=0, atol=0)


def test_the_probe_is_the_same_every_time_and_with_any_shuffling() -> None:
    shuffled, plain = (DataLoader(TensorDataset(IMAGES), batch_size=8, shuffle=shuffle) for shuffle in (True, False))
    (first,), (second,), (third,) = take_probe(shuffled, 20), take_probe(shuffled, 20), take_probe(plain, 20)
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_streams_loaders_without_batches_and_collections_of_loaders() -> None:
    assert torch.equal(take_probe(DataLoader(Stream(), batch_size=7), 10), IMAGES[:10])
    loader = DataLoader(TensorDataset(IMAGES), batch_size=8)
    assert torch.equal(take_probe([loader, loader], 4)[0], take_probe(loader, 4)[0])
    assert torch.equal(take_probe({"a": loader, "b": loader}, 4)[0], take_probe(loader, 4)[0])
    assert torch.equal(take_probe((batch for batch in IMAGES.split(3)), 4), IMAGES[:4])


def test_a_batch_of_any_shape_is_copied() -> None:
    source = {"pixels": IMAGES.clone(), "extra": (LABELS, "name")}
    probe = take_probe(source, 5)
    source["pixels"].zero_()
    assert torch.equal(probe["pixels"], IMAGES[:5])
    assert torch.equal(probe["extra"][0], LABELS[:5])
    assert probe["extra"][1] == "name"


@pytest.mark.parametrize("other", [torch.ones(4, 7), [torch.ones(4, 5), torch.ones(4)]])
def test_batches_of_the_shape_with_the_most_samples_make_the_probe(other: Any) -> None:
    batches = [torch.zeros(4, 5), other, torch.zeros(4, 5)]
    with pytest.warns(UserWarning, match=r"probe has 8 samples, not 12: other batches have other shapes, .* padded"):
        assert take_probe(iter(batches), 12).shape == (8, 5)
    assert take_probe(iter(batches), 8).shape == (8, 5)


def test_texts_and_names_stay_with_their_samples() -> None:
    samples = [{"image": IMAGES[index], "file": f"{index}.png", "size": (index, "px")} for index in range(10)]
    probe = take_probe(DataLoader(samples, batch_size=4), 9)
    assert list(probe) == ["image", "file", "size"]
    indices = probe["size"][0]
    assert len(indices.unique()) == 9
    assert torch.equal(probe["image"], IMAGES[indices])
    assert probe["file"] == [f"{index}.png" for index in indices.tolist()]
    assert probe["size"][1] == ["px"] * 9


def test_values_without_one_row_per_sample_are_those_of_the_first_batch() -> None:
    weights = torch.rand(7)
    batches = [{"image": part, "weights": weights, "epoch": torch.tensor(3)} for part in IMAGES[:10].split(4)]
    probe = take_probe(iter(batches), 9)
    assert torch.equal(probe["image"], IMAGES[:9])
    assert torch.equal(probe["weights"], weights)
    assert probe["epoch"] == 3


def test_packed_sequences_are_refused() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.zeros(3, 2), torch.zeros(2, 2), torch.zeros(1, 2)])
    with pytest.raises(ValueError, match=r"must hold padded sequences of shape \(n, T, ...\), got packed ones; pack"):
        take_probe([packed, packed], 4)


@pytest.mark.parametrize("source", [[], DataLoader(TensorDataset(IMAGES[:2])), torch.zeros(2, 3)])
def test_too_few_samples_raise(source: Any) -> None:
    with pytest.raises(ValueError, match=r"`probe` must hold at least 3 samples of one shape, got [02]; give a loader"):
        take_probe(source, 10)


@pytest.mark.parametrize("source", [3, "data", None])
def test_a_source_that_is_neither_loader_nor_batch_raises(source: Any) -> None:
    with pytest.raises(TypeError, match="must be a DataLoader, a batch of tensors or an iterable of batches"):
        take_probe(source, 10)


class TwoInputs(nn.Module):
    def forward(self, left: Tensor, right: Tensor, scale: float = 1.0) -> Tensor:
        return (left - right) * scale


class Named(nn.Module):
    def forward(self, pixels: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return pixels, mask


class WholeBatch(nn.Module):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["pixels"]


def test_run_model_selects_the_arguments_of_forward() -> None:
    one, two, labels = torch.ones(3, 2), torch.zeros(3, 2), torch.arange(3)
    assert run_model(nn.Identity(), one) is one
    assert run_model(nn.Identity(), (one, labels)) is one
    assert torch.equal(run_model(TwoInputs(), (one, two, labels)), one)
    assert run_model(Named(), {"pixels": one, "mask": two, "labels": labels}) == (one, two)
    assert run_model(WholeBatch(), {"pixels": one, "labels": labels}) is one


def test_a_wrapper_has_the_arguments_of_the_wrapped_model() -> None:
    class Wrapper(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.model(*args, **kwargs)

    one, two, labels = torch.ones(3, 2), torch.zeros(3, 2), torch.arange(3)
    wrapped = Wrapper(Wrapper(TwoInputs()))
    assert torch.equal(run_model(wrapped, (one, two, labels)), one)
    assert torch.equal(run_model(wrapped, {"labels": labels, "right": two, "left": one}), one)


def test_inputs_are_in_the_order_of_forward() -> None:
    batch = {"right": torch.zeros(3), "label": torch.zeros(3), "left": torch.ones(3)}
    assert list(model_inputs(TwoInputs(), batch)) == ["left", "right"]


def test_a_batch_moves_whole_to_another_device() -> None:
    moved = move_batch({"pixels": IMAGES, "extra": [LABELS, "name"]}, torch.device("meta"))
    assert moved["pixels"].device.type == moved["extra"][0].device.type == "meta"
    assert moved["extra"][1] == "name"


def test_a_forward_that_takes_any_name_gets_the_whole_mapping() -> None:
    class AnyName(nn.Module):
        def forward(self, **inputs: Tensor) -> Tensor:
            return inputs["pixels"] + inputs["offset"]

    assert torch.equal(run_model(AnyName(), {"pixels": IMAGES, "offset": IMAGES}), 2 * IMAGES)


def test_a_loader_with_its_own_iteration_is_read_through_it() -> None:
    class Doubling(DataLoader[Any]):
        def __iter__(self) -> Any:
            return (2 * batch[0] for batch in super().__iter__())

    assert torch.equal(take_probe(Doubling(TensorDataset(IMAGES), batch_size=8), 12), 2 * IMAGES[:12])


def test_a_list_of_batches_is_read_in_order() -> None:
    images, labels = take_probe(list(DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8)), 20)
    assert torch.equal(images, IMAGES[:20])
    assert torch.equal(labels, LABELS[:20])
