"""Makes the picture of docs/semantic-editing.md: a photo, the network's picture of its view, and that with edits.

python benchmarks/editing_picture.py results/demo 0004 docs/semantic-editing.png sidewalk=stairs sidewalk=grass
"""

import sys
from pathlib import Path

import numpy as np

from nrw.core.io import write_image
from nrw.core.pictures import row
from nrw.scene import editing
from nrw.scene.files import SceneFiles


def main(scene: Path, photo_id: str, out: Path, edits: list[str]) -> None:
    model, dataset = SceneFiles(scene).open("cpu")
    view = dataset.view(photo_id)
    z = model.encode(view)
    tables = [editing.table(editing.parse([edit]), dataset.meta) for edit in edits]
    pictures = [np.asarray(view.pixels), *(model.render_view(view, z, edit=table) for table in (None, *tables))]
    write_image(out, row(pictures, ["photo", "picture", *edits]))


if __name__ == "__main__":
    scene, photo_id, out, *edits = sys.argv[1:]
    main(Path(scene), photo_id, Path(out), edits)
