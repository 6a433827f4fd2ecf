"""Views of validation photos at the size of the photos, to be scored beside them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nrw.dataset.packed import View, known_camera
from nrw.framebuffers.undistorted import nearest

if TYPE_CHECKING:
    from nrw.scene.views import Seen, Views


def large_view(views: "Views", view: View, photo: Path) -> tuple[View, "Seen"]:
    """See a photo's view at the size of its undistorted file: the view, with the render as color, and to be drawn."""
    with Image.open(photo) as image:
        pixels = np.array(image.convert("RGB"))
    height, width = pixels.shape[:2]
    seen = views.see(known_camera(view).resized(width, height))
    labels, depth = nearest(np.asarray(view.labels), width, height), seen.depth.cpu().numpy()
    covered = (255 * (depth > 0)).astype(np.uint8)
    return View(view.id, pixels, labels, [views.raw(seen)], [depth], None, [covered], None), seen
