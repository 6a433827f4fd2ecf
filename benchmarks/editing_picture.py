"""The picture of docs/semantic-editing.md: a photo, the network's picture of its view, and that picture with edits.

python benchmarks/editing_picture.py results/demo 0004 docs/semantic-editing.png sidewalk=stairs sidewalk=grass
"""

import sys
from pathlib import Path

import numpy as np

from nrw.core.io import write_image
from nrw.dataset.packed import PackedDataset
from nrw.scene import editing
from nrw.scene.model import SceneModel


def main(scene: Path, photo: str, out: Path, edits: list[str]) -> None:
    model = SceneModel.load(scene / "finetune", scene / "completion")
    dataset = PackedDataset(scene / "dataset")
    view = dataset.view(photo)
    z = model.encode(view)
    tables = [editing.table(editing.parse([edit]), dataset.meta) for edit in edits]
    pictures = [np.asarray(view.photo), *(model.render_view(view, z, edit=table) for table in (None, *tables))]
    write_image(out, pictures.row(pictures, ["photo", "picture", *edits]))


if __name__ == "__main__":
    scene, photo, out, *edits = sys.argv[1:]
    main(Path(scene), photo, Path(out), edits)
