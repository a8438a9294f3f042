"""Image files of every depth against the values written into them, damaged files, and files that are not read."""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_topolip.data import ImageFolderDataModule
from lightning_topolip.data.image_file import check_image, read_image
from lightning_topolip.data.images import ImageFiles

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
LEVELS = np.round(RAMP * 65535).astype(np.uint16)


def tiff_of_12_bits(levels: list[int]) -> bytes:
    """A row of an even number of grey pixels from 0 to 4095, two of them packed into three bytes."""
    packed = b"".join(
        bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
        for first, second in zip(levels[::2], levels[1::2], strict=True)
    )
    tags = {256: len(levels), 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def netpbm_of_10_bits(levels: np.ndarray) -> bytes:
    return b"P5\n8 8\n1023\n" + np.round(levels * 1023).astype(">u2").tobytes()


DEEP: dict[str, Callable[[Path], object]] = {
    "16.png": Image.fromarray(LEVELS).save,
    "16.tif": Image.fromarray(LEVELS).save,
    "compressed.tiff": lambda path: Image.fromarray(LEVELS).save(path, compression="tiff_lzw"),
    "big endian.tif": Image.frombytes("I;16B", (8, 8), LEVELS.astype(">u2").tobytes()).save,
    "16.pgm": Image.fromarray(LEVELS).save,
    "integers.pgm": Image.fromarray(LEVELS.astype(np.int32)).save,
    "10 bits.pgm": lambda path: path.write_bytes(netpbm_of_10_bits(RAMP)),
    "white is zero.tif": lambda path: Image.fromarray(65535 - LEVELS).save(path, tiffinfo={262: 0}),
    "float.tif": Image.fromarray(RAMP.astype(np.float32)).save,
    "float.ppm": lambda path: Image.fromarray(RAMP.astype(np.float32)).save(path, format="PPM"),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_grey_images_keep_their_levels(name: str, tmp_path: Path) -> None:
    DEEP[name](tmp_path / name)
    check_image(tmp_path / name)
    pixels = ImageFiles([tmp_path / name], size=8)[0]
    assert pixels.dtype == torch.float32
    assert pixels.shape == (3, 8, 8)
    assert torch.equal(pixels[0], pixels[2])
    assert pixels[0].numpy() == pytest.approx(RAMP, abs=1e-3 if "10" in name else 1e-5)


def test_twelve_bits_are_divided_by_their_own_largest_value(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff_of_12_bits([0, 4095, 819, 2048]))
    assert np.asarray(read_image(tmp_path / "x.tif")) == pytest.approx(np.array([[0, 1, 0.2, 2048 / 4095]]))


def test_the_same_picture_in_8_and_16_bits_gives_the_same_pixels(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray(levels * 257).save(tmp_path / "16.png")
    eight, sixteen = (ImageFiles([tmp_path / name], 16)[0] for name in ("8.png", "16.png"))
    assert torch.equal(eight.float() / 255, sixteen)


def test_deep_images_are_resized_like_others(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint16)
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray(levels * 257).save(tmp_path / "16.png")
    eight, sixteen = (ImageFiles([tmp_path / name], 12)[0] for name in ("8.png", "16.png"))
    assert (eight / 255 - sixteen).abs().max() < 1.5 / 255


OF_8_BITS = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "tif": ("1", "L", "P", "RGB", "RGBA", "CMYK"),
    "webp": ("RGBA",),
}


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix, modes in OF_8_BITS.items() for mode in modes])
def test_images_of_8_bits_are_what_pillow_converts(suffix: str, mode: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    channels = 4 if mode.endswith("A") else 3
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(noise[..., :channels]).convert(mode).save(path)
    with Image.open(path) as file:
        expected = np.asarray(file.convert("RGB"))
    pixels = ImageFiles([path], 8)[0]
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (LEVELS.astype(np.int32), "32-bit or signed integer pixels"),
        (LEVELS.astype(np.float32), "floating-point pixels from 0.0 to 65535.0 instead of 0 to 1"),
        (RAMP.astype(np.float32) - 0.5, "floating-point pixels from -0.5 to 0.5"),
        (np.full((8, 8), np.nan, np.float32), "floating-point pixels from nan to nan"),
    ],
)
def test_pixels_without_a_common_range_are_refused_by_name(pixels: np.ndarray, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    Image.fromarray(pixels).save(path)
    for read in (read_image, check_image):
        with pytest.raises(ValueError, match=rf"`root` must hold readable images, got .*scan.tif \({reason}"):
            read(path)


TURNS = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("name", ["8.png", "8.tif", "16.png", "16.tif", "8.jpg", "packed.tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_images_are_turned_upright(name: str, orientation: int, tmp_path: Path) -> None:
    grey = np.arange(24).reshape(4, 6) * 10
    stored = (grey * 257).astype(np.uint16) if name.startswith("16") else grey.astype(np.uint8)
    if name == "8.jpg":
        stored = np.kron(stored, np.ones((8, 8), dtype=np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"compression": "tiff_lzw"} if name == "packed.tif" else {"quality": 100} if name == "8.jpg" else {}
    Image.fromarray(stored).save(tmp_path / name, exif=exif, **options)
    image = np.asarray(read_image(tmp_path / name), dtype=np.float64)
    upright = image * 255 if image.ndim == 2 else image[..., 0]
    expected = TURNS[orientation](stored / 257 if stored.dtype == np.uint16 else stored)
    assert upright == pytest.approx(expected, abs=3 if name == "8.jpg" else 1e-4)


def test_damaged_exif_data_do_not_hide_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02"):
        Image.new("RGB", (6, 4)).save(path, exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert read_image(path).size == (6, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two classes of six training images and two test images."""
    for part, count in (("train", 6), ("test", 2)):
        for number, name in enumerate(("ant", "bee")):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (16, 16), (index, number, 0)).save(tmp_path / part / name / f"{index}.png")
    return tmp_path


def truncated(path: Path, format_: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format=format_)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: truncated(path, "PNG"),
        lambda path: truncated(path, "JPEG"),
        lambda path: truncated(path, "WEBP"),
        lambda path: truncated(path, "TIFF"),
        lambda path: truncated(path, "PPM"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not an image"),
    ],
    ids=["png", "jpeg", "webp", "tiff", "ppm", "empty", "text"],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_damaged_file_is_named_before_anything_is_trained(
    damage: Callable[[Path], object], part: str, folder: Path
) -> None:
    path = folder / part / "bee" / "1.png"
    damage(path)
    data = ImageFolderDataModule(str(folder), 16, num_workers=0, augment=False)
    for read in (data.prepare_data, data.train_dataloader):
        with pytest.raises(ValueError, match=r"got .*bee.1\.png \(.*\); repair, convert or remove this file"):
            read()
    path.unlink()
    assert len(next(iter(data.train_dataloader()))[1]) == (10 if part == "train" else 11)


def test_a_file_that_breaks_later_is_named_when_it_is_read(folder: Path) -> None:
    data = ImageFolderDataModule(str(folder), 16, num_workers=1)
    loader = data.test_dataloader()
    (folder / "test" / "ant" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"ant.0\.png \(cannot identify image file"):
        list(loader)


def test_files_that_are_not_read_are_counted_and_named_once(folder: Path) -> None:
    nested = folder / "train" / "ant" / "2024" / "may"
    nested.mkdir(parents=True)
    for number in range(3):
        Image.new("L", (8, 8)).save(nested / f"{number}.png")
    (folder / "test" / "bee" / "notes.txt").write_text("notes")
    (folder / "test" / "bee" / "folder.png").mkdir()
    (folder / "test" / "bee" / ".hidden").write_text("of the system")
    (folder / "train" / "labels.csv").write_text("beside the classes")
    data = ImageFolderDataModule(str(folder), 16, num_workers=0)
    with pytest.warns(UserWarning, match="not read") as given:
        data.setup("fit")
    data.setup("test")
    data.train_dataloader()
    (message,) = (str(warning.message) for warning in given)
    assert "not read, 4 in all: " in message
    assert all(str(Path("train", "ant", "2024", "may", f"{number}.png")) in message for number in range(3))
    assert "notes.txt" not in message


def test_a_tidy_folder_gives_no_warning(folder: Path) -> None:
    ImageFolderDataModule(str(folder), 16, num_workers=0).train_dataloader()


@pytest.mark.parametrize(("kept", "fraction"), [(1, 0.1), (1, 0.9), (2, 0.8), (6, 0.95)])
def test_a_split_that_leaves_a_class_without_training_images_is_refused(
    kept: int, fraction: float, folder: Path
) -> None:
    for path in folder.glob("train/*/*"):
        if int(path.stem) >= kept:
            path.unlink()
    data = ImageFolderDataModule(str(folder), 16, val_fraction=fraction, num_workers=0)
    with pytest.raises(ValueError, match=r"`val_fraction` must leave a training image of every class, got 0\.\d+ of"):
        data.setup("fit")
    (folder / "test").rename(folder / "val")
    (folder / "val").joinpath("../test").resolve().mkdir()
    for name in ("ant", "bee"):
        (folder / "test" / name).mkdir()
        Image.new("L", (8, 8)).save(folder / "test" / name / "0.png")
    assert len(next(iter(data.train_dataloader()))[1]) == 2 * kept


def test_a_setup_that_failed_does_not_change_the_next(folder: Path) -> None:
    data = ImageFolderDataModule(str(folder), 16, val_fraction=0.95, num_workers=0, augment=False)
    with pytest.raises(ValueError, match="`val_fraction`"):
        data.setup("fit")
    data.val_fraction = 0.3
    expected = ImageFolderDataModule(str(folder), 16, val_fraction=0.3, num_workers=0, augment=False)
    for first, second in zip(data.train_dataloader(), expected.train_dataloader(), strict=True):
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
