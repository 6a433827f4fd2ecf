"""The committed demo photos' ground truth."""

from pathlib import Path

from nrw.core.io import read_json

DEMO = Path(__file__).resolve().parents[1] / "resources" / "demo"
TRUTH = read_json(DEMO / "truth" / "cameras.json")
PHOTOS = TRUTH["photos"]
