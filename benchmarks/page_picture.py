"""Makes a picture of the top of an HTML page for the README, with headless Chromium (Debian: chromium).

python benchmarks/page_picture.py results/demo/report.html docs/report.jpg
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 1280, 1560
SHOWN = 1000  # pixels, width of the picture
SETTLE = 15_000  # milliseconds of virtual time in which the page settles
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--hide-scrollbars")


def photograph(page: Path, png: Path) -> None:
    """Write a screenshot of an HTML file in a window of WIDTH × HEIGHT pixels."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            "chromium",
            *ARGUMENTS,
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--virtual-time-budget={SETTLE}",
            f"--screenshot={png}",
            page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    page, out = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder) / "page.png"
        photograph(page, png)
        with Image.open(png) as picture:
            small = picture.convert("RGB").resize((SHOWN, picture.height * SHOWN // WIDTH), Image.Resampling.LANCZOS)
    small.save(out, quality=80, optimize=True)
