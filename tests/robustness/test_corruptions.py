"""The corruptions against a plain reimplementation of the published recipe, and the reader of the official files."""

import colorsys
import itertools
import math
import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_image

from lightning_topolip.robustness import CORRUPTIONS, SEVERITIES, corrupt, corrupt_tensor, read_cifar10_c
from lightning_topolip.robustness.corruptions.weather import frost_texture

# The constants of the generator of CIFAR-10-C (not of ImageNet-C), written down independently.
GAUSSIAN = [0.04, 0.06, 0.08, 0.09, 0.10]
SHOT = [500, 250, 100, 75, 50]
IMPULSE = [0.01, 0.02, 0.03, 0.05, 0.07]
DEFOCUS = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]
GLASS = [(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)]
MOTION = [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)]
ZOOM = [7, 12, 16, 21, 26]
SNOW = [
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
]
FROST = [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)]
FOG = [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)]
BRIGHTNESS = [0.05, 0.1, 0.15, 0.2, 0.3]
CONTRAST = [0.75, 0.5, 0.4, 0.3, 0.15]
ELASTIC = [(0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)]
PIXELATE = [0.95, 0.9, 0.85, 0.75, 0.65]
JPEG = [80, 65, 58, 50, 40]

DRAWN = {*CORRUPTIONS} - {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """Six colour photographs of 32 x 32 pixels, cropped from scikit-learn's sample images."""
    small = [Image.fromarray(load_sample_image(name)).resize((160, 107)) for name in ("china.jpg", "flower.jpg")]
    corners = [(0, 0), (40, 60), (70, 100)]
    return np.stack([np.asarray(image)[top : top + 32, left : left + 32] for image in small for top, left in corners])


@pytest.fixture
def grey() -> np.ndarray:
    return np.full((40, 32, 32, 3), 128, dtype=np.uint8)


def generator(corruption: str, severity: int, position: int) -> np.random.Generator:
    key = (CORRUPTIONS.index(corruption), severity, position)
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=key))


def assert_like(
    photos: np.ndarray,
    corruption: str,
    reimplementation: Callable[[np.ndarray, int, np.random.Generator], np.ndarray],
) -> None:
    """Compare image by image; one level may come from rounding down whole numbers with a rounding error."""
    for severity in SEVERITIES:
        corrupted = corrupt(photos, corruption, severity).astype(int)
        for position, photo in enumerate(photos):
            unit = reimplementation(photo / 255, severity - 1, generator(corruption, severity, position))
            expected = np.floor(np.clip(unit, 0, 1) * 255 + 1e-9).astype(int)
            assert np.abs(corrupted[position] - expected).max() <= 1, (severity, position)
            assert (corrupted[position] != expected).mean() <= 0.1, (severity, position)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_published_strength(grey: np.ndarray, severity: int) -> None:
    unit = 128 / 255
    corrupted = corrupt(grey, "gaussian_noise", severity) / 255
    assert corrupted.std() == pytest.approx(GAUSSIAN[severity - 1], rel=0.01)
    assert corrupted.mean() == pytest.approx(unit - 0.5 / 255, abs=2e-3)  # rounded down
    corrupted = corrupt(grey, "shot_noise", severity) / 255
    assert corrupted.std() == pytest.approx(math.sqrt(unit / SHOT[severity - 1]), rel=0.02)
    corrupted = corrupt(grey, "impulse_noise", severity)
    share = IMPULSE[severity - 1] / 2
    assert {*np.unique(corrupted)} == {0, 128, 255}
    for value in (0, 255):
        assert (corrupted == value).mean() == pytest.approx(share, abs=4 * math.sqrt(share / grey.size))


def test_noise_is_drawn_for_each_channel(grey: np.ndarray) -> None:
    for name in ("gaussian_noise", "shot_noise", "impulse_noise"):
        corrupted = corrupt(grey, name, 5)
        assert (corrupted[..., 0] != corrupted[..., 1]).mean() > 0.05


def test_defocus_is_a_convolution_with_a_smoothed_disk(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
        radius, sigma = DEFOCUS[level]
        positions = list(itertools.product(range(-4, 5), repeat=2))
        disk = {position: float(math.hypot(*position) <= radius) for position in positions}
        taps = {(i, j): math.exp(-(i * i + j * j) / (2 * sigma**2)) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        total_weight = sum(disk.values()) * sum(taps.values())
        padded, total = np.pad(unit, ((4, 4), (4, 4), (0, 0)), mode="reflect"), np.zeros_like(unit)
        for i, j in positions:
            weight = sum(tap * disk.get((i - k, j - m), 0.0) for (k, m), tap in taps.items()) / total_weight
            total += weight * padded[4 + i : 36 + i, 4 + j : 36 + j]
        return total

    assert_like(photos, "defocus_blur", reimplemented)


def test_glass_moves_pixels_one_by_one(photos: np.ndarray) -> None:
    def smooth(unit: np.ndarray, sigma: float) -> np.ndarray:
        for axis in (0, 1):
            unit = ndimage.gaussian_filter1d(unit, sigma, axis=axis, mode="nearest", truncate=4)
        return unit

    def reimplemented(unit: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
        sigma, shuffles = GLASS[level]
        shuffled = np.floor(smooth(unit, sigma) * 255 + 1e-9)
        for _ in range(shuffles):
            for row in range(31, 1, -1):
                for column in range(31, 1, -1):
                    across, down = generator.integers(-1, 1, size=2)
                    shuffled[row, column] = shuffled[row + down, column + across]
        return smooth(shuffled / 255, sigma)

    assert_like(photos, "glass_blur", reimplemented)


def smear(unit: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """Blur pixel by pixel along a line to one side, edges repeated."""
    weights = [math.exp(-(i * i) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    rows, columns = np.indices(unit.shape[:2])
    total = np.zeros_like(unit)
    for i, weight in enumerate(weights):
        down = math.ceil(i * math.sin(math.radians(angle)) - 0.5)
        across = math.ceil(i * math.cos(math.radians(angle)) - 0.5)
        total += weight / sum(weights) * unit[(rows + down).clip(0, 31), (columns + across).clip(0, 31)]
    return np.round(total * 65535) / 65535


def test_motion_smears_along_a_drawn_line(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
        return smear(unit, *MOTION[level], generator.uniform(-45, 45))

    assert_like(photos, "motion_blur", reimplemented)


def zoom(unit: np.ndarray, factor: float) -> np.ndarray:
    kept = math.ceil(32 / factor)
    first = (32 - kept) // 2
    large = ndimage.zoom(unit[first : first + kept, first : first + kept], (factor, factor, 1), order=1)
    trim = (len(large) - 32) // 2
    return large[trim : trim + 32, trim : trim + 32]


def test_zoom_averages_enlarged_images(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
        factors = np.arange(1, [1.06, 1.11, 1.16, 1.21, 1.26][level], 0.01)
        assert len(factors) == ZOOM[level]
        return (unit + sum(zoom(unit, factor) for factor in factors)) / (len(factors) + 1)

    assert_like(photos, "zoom_blur", reimplemented)


def test_snow_falls_twice_over_a_lightened_image(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
        mean, spread, factor, threshold, radius, sigma, kept = SNOW[level]
        flakes = zoom(generator.normal(mean, spread, size=(32, 32))[..., None], factor)
        flakes = np.floor(np.where(flakes < threshold, 0, np.clip(flakes, 0, 1)) * 255) / 255
        fallen = np.floor(smear(flakes, radius, sigma, generator.uniform(-135, -45)) * 255 + 1e-9) / 255
        luma = 0.299 * unit[..., :1] + 0.587 * unit[..., 1:2] + 0.114 * unit[..., 2:]
        light = kept * unit + (1 - kept) * np.maximum(unit, 1.5 * luma + 0.5)
        return light + fallen + fallen[::-1, ::-1]

    assert_like(photos, "snow", reimplemented)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_frost_is_blended_with_the_published_weights(severity: int) -> None:
    weight, share = FROST[severity - 1]
    black, dark = (np.full((60, 32, 32, 3), value, dtype=np.uint8) for value in (0, 40))
    on_black, on_dark = (corrupt(images, "frost", severity).astype(int) for images in (black, dark))
    assert on_black.max() <= 255 * share
    added = (on_dark - on_black)[on_dark < 255]
    assert abs(added - 40 * weight).max() <= 1
    texture = on_black / share
    assert 110 < texture.mean() < 210
    assert texture[..., 2].mean() > texture[..., 0].mean() + 5  # blue rather than red
    assert 8 < texture.mean(axis=-1).std(axis=(1, 2)).mean() < 40


def test_frost_comes_in_kinds_and_fits_any_shape() -> None:
    generator = np.random.default_rng(0)
    means = [frost_texture((32, 32, 3), generator).mean() for _ in range(40)]
    assert max(means) - min(means) > 0.3
    assert frost_texture((20, 33, 1), generator).shape == (20, 33, 1)


def test_fog_is_plasma_by_midpoint_displacement(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
        strength, decay = FOG[level]
        heights: dict[tuple[int, int], float] = {(0, 0): 0.0}
        step, amplitude = 32, 100.0
        while step >= 2:
            half, count = step // 2, 32 // step
            for top, left in ((half, half), (0, half), (half, 0)):
                noise = generator.uniform(-amplitude, amplitude, size=(count, count))
                for i, j in itertools.product(range(count), repeat=2):
                    row, column = i * step + top, j * step + left
                    steps = [(1, 1), (1, -1), (-1, 1), (-1, -1)] if top == left else [(1, 0), (-1, 0), (0, 1), (0, -1)]
                    neighbours = [heights[(row + a * half) % 32, (column + b * half) % 32] for a, b in steps]
                    heights[row, column] = sum(neighbours) / 4 + amplitude * noise[i, j]
            step, amplitude = half, amplitude / decay
        low, high = min(heights.values()), max(heights.values())
        clouds = np.array([[(heights[i, j] - low) / (high - low) for j in range(32)] for i in range(32)])
        return (unit + strength * clouds[..., None]) * unit.max() / (unit.max() + strength)

    assert_like(photos, "fog", reimplemented)


def test_brightness_raises_the_value_of_hsv(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
        pixels = []
        for red, green, blue in unit.reshape(-1, 3):
            hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
            pixels.append(colorsys.hsv_to_rgb(hue, saturation, min(value + BRIGHTNESS[level], 1)))
        return np.array(pixels).reshape(unit.shape)

    assert_like(photos, "brightness", reimplemented)
    black = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    assert (corrupt(black, "brightness", 5) == int(0.3 * 255)).all()


def test_contrast_pulls_channels_towards_their_means(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
        means = np.array([unit[..., channel].mean() for channel in range(3)])
        return CONTRAST[level] * unit + (1 - CONTRAST[level]) * means

    assert_like(photos, "contrast", reimplemented)


def test_elastic_is_an_affine_map_and_a_smooth_field(photos: np.ndarray) -> None:
    def reimplemented(unit: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
        amplitude, sigma, shift = ELASTIC[level]
        corners = np.array([[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]])  # x, y: the middle plus or minus a third of 32
        moved = corners + generator.uniform(-shift, shift, size=(3, 2))
        system = np.zeros((6, 6))
        for i, (x, y) in enumerate(moved):
            system[2 * i, :3] = system[2 * i + 1, 3:] = x, y, 1
        a, b, c, d, e, f = np.linalg.solve(system, corners.ravel())
        y, x, z = np.indices(unit.shape)
        sheared = ndimage.map_coordinates(unit, (d * x + e * y + f, a * x + b * y + c, z), order=1, mode="mirror")
        field = [
            amplitude * ndimage.gaussian_filter(generator.uniform(-1, 1, (32, 32)), sigma, mode="reflect", truncate=3)
            for _ in range(2)
        ]
        positions = (y + field[1][..., None], x + field[0][..., None], z)
        return ndimage.map_coordinates(sheared, positions, order=1, mode="reflect")

    assert_like(photos, "elastic_transform", reimplemented)


def test_pixelate_and_jpeg_are_pillow_round_trips(photos: np.ndarray) -> None:
    for severity in SEVERITIES:
        side = int(32 * PIXELATE[severity - 1])
        for photo, small, packed in zip(
            photos, corrupt(photos, "pixelate", severity), corrupt(photos, "jpeg_compression", severity), strict=True
        ):
            boxes = Image.fromarray(photo).resize((side, side), Image.Resampling.BOX)
            assert np.array_equal(small, boxes.resize((32, 32), Image.Resampling.BOX))
            file = BytesIO()
            Image.fromarray(photo).save(file, "JPEG", quality=JPEG[severity - 1])
            assert np.array_equal(packed, Image.open(file))


def test_all_fifteen_corruptions_differ_between_severities(photos: np.ndarray) -> None:
    assert len(CORRUPTIONS) == 15
    for name in CORRUPTIONS:
        corrupted = [corrupt(photos[:2], name, severity) for severity in SEVERITIES]
        assert all(images.shape == (2, 32, 32, 3) and images.dtype == np.uint8 for images in corrupted)
        assert all((first != second).any() for first, second in itertools.combinations(corrupted, 2)), name


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_depends_on_its_position_and_seed_but_not_on_its_batch(photos: np.ndarray, name: str) -> None:
    before = photos.copy()
    corrupted = corrupt(photos, name, 4)
    assert np.array_equal(photos, before)
    assert np.array_equal(corrupted[3:5], corrupt(photos[3:5], name, 4, offset=3))
    other = corrupt(photos, name, 4, seed=1)
    twice = corrupt(photos[[0, 0]], name, 4)
    assert np.array_equal(corrupted, other) == np.array_equal(twice[0], twice[1]) == (name not in DRAWN)


def test_global_generators_keep_their_state(photos: np.ndarray) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()
    for name in CORRUPTIONS:
        corrupt(photos[:1], name, 3)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())
    assert before[2] == random.getstate()


@pytest.mark.parametrize(
    "name", ["defocus_blur", "motion_blur", "zoom_blur", "snow", "fog", "brightness", "contrast", "elastic_transform"]
)
def test_a_grey_image_is_corrupted_like_a_colourless_one(photos: np.ndarray, name: str) -> None:
    channel = photos[..., :1]
    for severity in SEVERITIES:
        colourless = corrupt(np.repeat(channel, 3, axis=-1), name, severity).astype(int)
        corrupted = corrupt(channel, name, severity)
        assert corrupted.shape == channel.shape
        assert abs(colourless - corrupted).max() <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_other_sizes_work_with_a_warning(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(1, 40, 23, 3), dtype=np.uint8)
    for severity in SEVERITIES:
        with pytest.warns(UserWarning, match="are for images of 32 x 32 pixels and are used unchanged on 40 x 23"):
            assert corrupt(images, name, severity).shape == images.shape


def test_a_tensor_is_corrupted_like_its_pixels(photos: np.ndarray) -> None:
    images = torch.from_numpy(photos).permute(0, 3, 1, 2).double() / 255
    corrupted = corrupt_tensor(images, "shot_noise", 2, seed=5, offset=7)
    assert (corrupted.dtype, corrupted.shape) == (torch.float64, images.shape)
    pixels = (corrupted * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(pixels, corrupt(photos, "shot_noise", 2, seed=5, offset=7))


def test_wrong_arguments_are_named(photos: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"`corruption` must be one of \('gaussian_noise'.*got 'rain'"):
        corrupt(photos, "rain", 1)
    for severity in (0, 6, 2.5):
        with pytest.raises(ValueError, match=f"`severity` must be a whole number from 1 to 5, got {severity}"):
            corrupt(photos, "fog", severity)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`images` must be a uint8 array, got float64; use `corrupt_tensor`"):
        corrupt(photos / 255, "fog", 1)
    for shape in ((1, 3, 32, 32), (32, 32, 3), (1, 32, 7, 3)):
        with pytest.raises(ValueError, match=r"`images` must have shape \(n, H, W, 3\)"):
            corrupt(np.zeros(shape, dtype=np.uint8), "fog", 1)
    with pytest.raises(ValueError, match="`offset` must be a whole number >= 0, got -1"):
        corrupt(photos, "fog", 1, offset=-1)
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\], got values from -2 to -2; pass them before normal"):
        corrupt_tensor(torch.full((1, 3, 32, 32), -2.0), "fog", 1)
    with pytest.raises(ValueError, match=r"floating-point tensor of shape \(n, C, H, W\), got torch.uint8"):
        corrupt_tensor(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "fog", 1)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Files of the official size; unwritten images take no space."""
    images = np.lib.format.open_memmap(tmp_path / "fog.npy", "w+", np.uint8, (50000, 32, 32, 3))
    for severity in SEVERITIES:
        images[(severity - 1) * 10000] = severity
        images[severity * 10000 - 1] = 10 * severity
    images.flush()
    np.save(tmp_path / "labels.npy", np.tile(np.arange(10000) % 10, 5).astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize("severity", SEVERITIES)
def test_official_files_are_mapped_not_loaded(official: Path, severity: int) -> None:
    images, labels = read_cifar10_c(official, "fog", severity)
    assert images.shape == (10000, 32, 32, 3)
    assert isinstance(images.base, np.memmap)
    assert not images.flags.writeable
    assert (images[0] == severity).all()
    assert (images[-1] == 10 * severity).all()
    assert labels.dtype == np.int64
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('executed')",)


def test_files_of_another_format_are_refused(tmp_path: Path) -> None:
    def refuse(kind: type[Exception], match: str, corruption: str = "snow") -> None:
        with pytest.raises(kind, match=match):
            read_cifar10_c(tmp_path, corruption, 1)

    refuse(FileNotFoundError, r"among them snow.npy, got .* with no .npy file; unpack CIFAR-10-C.tar there")
    refuse(ValueError, "`corruption` must be one of .*got '../snow'", "../snow")
    np.save(tmp_path / "labels.npy", np.zeros(10, dtype=np.uint8))
    refuse(FileNotFoundError, "among them spatter.npy, got .* with labels.npy;", "spatter")
    np.save(tmp_path / "snow.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    refuse(ValueError, "damaged or not a plain array .*; nothing in it was executed")
    np.save(tmp_path / "snow.npy", np.zeros((10, 32, 32, 3)))
    refuse(ValueError, r"with snow.npy uint8 of shape \(50000, 32, 32, 3\), got float64")
    np.save(tmp_path / "snow.npy", np.zeros((11, 32, 32, 3), dtype=np.uint8))
    refuse(ValueError, r"got uint8 of shape \(11, 32, 32, 3\)")
    np.save(tmp_path / "snow.npy", np.zeros((15, 32, 32, 3), dtype=np.uint8))
    refuse(ValueError, r"one whole number in labels.npy for each of 15 images, got uint8 of shape \(10,\)")
    content = (tmp_path / "snow.npy").read_bytes()
    (tmp_path / "snow.npy").write_bytes(content[: len(content) // 2])
    refuse(ValueError, "snow.npy, which is damaged or not a plain array")
    with pytest.raises(ValueError, match="`severity` must be a whole number from 1 to 5, got 0"):
        read_cifar10_c(tmp_path, "snow", 0)
