"""Views of validation photos at the size of the photos, to be scored beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nrw.dataset.packed import View, known_camera

if TYPE_CHECKING:
    from torch import Tensor

    from nrw.scene.views import Seen, Views


@dataclass(frozen=True)
class LargeView:
    """A photo's view at the photo's size. view: with the render as color. seen: as `Views.draw` takes it."""

    view: View
    seen: "Seen"

    def outputs(self, views: "Views", codes: Mapping[str, "Tensor"]) -> dict[str, np.ndarray]:
        """Draw the view under each protocol: (H, W, 3) uint8."""
        return {name: views.draw(self.seen, z) for name, z in codes.items()}


def large_view(views: "Views", view: View, photo: Path) -> LargeView:
    """See a photo's view at the size of its undistorted file."""
    with Image.open(photo) as image:
        pixels = np.array(image.convert("RGB"))
    size = (pixels.shape[1], pixels.shape[0])
    seen = views.see(known_camera(view).resized(*size))
    labels = np.array(Image.fromarray(np.asarray(view.labels)).resize(size, Image.Resampling.NEAREST))
    depth = seen.depth.cpu().numpy()
    shown = View(
        view.id, pixels, labels, [views.raw(seen)], [depth], None, [(255 * (depth > 0)).astype(np.uint8)], None
    )
    return LargeView(shown, seen)
