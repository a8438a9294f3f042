"""Where the project's own files lie, and the images that only a developer has."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ARCHIVE = ROOT.parent / "shared" / "data" / "cifar10-images.tar.xz"
