"""The command line `nrw`: what is done with a trained scene outside the workflow, and data sets in the 2019 format."""

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from nrw.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from nrw.dataset.packed import PackedDataset, View
    from nrw.geometry.pointcloud import Cloud
    from nrw.scene.model import SceneModel


class _Commands(typer.core.TyperGroup):
    """Shows a UserError as its message, without a traceback, and ends with status 1."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Neural rerendering of a trained scene. The scene itself is made by the workflow: see the README.",
)

Scene = Annotated[Path, typer.Argument(help="Folder of a trained scene: results/NAME.", show_default=False)]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the networks run.")]
Out = Annotated[Path, typer.Argument(help="Folder to write to.", show_default=False)]
PhotoA = Annotated[str, typer.Argument(help="Id of the first photo, such as 0007.", show_default=False)]
PhotoB = Annotated[str, typer.Argument(help="Id of the second photo.", show_default=False)]
Frames = Annotated[int, typer.Option(min=2, help="Number of frames.")]
Fps = Annotated[float, typer.Option(min=1, help="Frames a second of the video.")]
Size = Annotated[int, typer.Option(min=64, help="Longer side of the pictures, pixels.")]
SideBySide = Annotated[bool, typer.Option(help="Put the raw render of the cloud beside each picture.")]
Edit = Annotated[
    list[str] | None,
    typer.Option(help="Replace a class of the labels: grass=sidewalk (ADE20K names; repeatable)", show_default=False),
]
Labels = Annotated[
    Path | None,
    typer.Option(help="A painted label map for the view, PNG: docs/semantic-editing.md.", show_default=False),
]
Table = Annotated[Path, typer.Argument(help="File to write: .csv (with ids) or .npy (rows in order of id).")]


@app.callback()
def main() -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # torch's threads let others work, as in the workflow
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("nrw").setLevel(logging.INFO)


@app.command()
def render(
    scene: Scene,
    folder: Annotated[Path, typer.Argument(help="Aligned inputs: NNNN_reference.png, NNNN_color.png, …")],
    out: Out,
    appearance: Annotated[str | None, typer.Option(help="Id of one photo of the scene for all.")] = None,
    photo: Annotated[str | None, typer.Option(help="Id of the one photo that is rendered.", show_default="all")] = None,
    labels: Labels = None,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Render a folder of aligned inputs, each in the appearance of its own photo or all in one (2019: eval_dir).

    Label maps are taken from the folder, so an edited NNNN_seg.png edits the picture; `--edit` replaces a class in all
    of them, `--photo NNNN --labels PNG` takes a painted map for one. The networks of a scene made from photos also
    read which points of the cloud a pixel shows, which aligned pictures do not hold: for such a scene the folder is
    results/NAME/aligned or a changed copy of its photos and labels.
    """
    from nrw.core.io import write_image
    from nrw.scene import editing

    if labels is not None and photo is None:
        raise UserError("--labels is the map of one view: name its photo with --photo")
    model, dataset = _open(scene, device)
    z = None if appearance is None else _code(model, dataset, appearance)
    table = editing.table(editing.parse(edit or []), dataset.meta)
    count = 0
    for view in _aligned_views(folder, dataset):
        if photo not in (None, view.id):
            continue
        code = model.encode(view) if z is None else z
        write_image(out / f"{view.id}.png", model.render_view(_painted(view, labels, dataset), code, edit=table))
        count += 1
    if count == 0:
        raise UserError(f"{folder} has no photo {photo}")
    typer.echo(f"{count} pictures in {out}")


@app.command()
def evaluate(
    scene: Scene,
    out: Out,
    refine_steps: Annotated[int, typer.Option(min=0, help="Gradient steps of the refined half protocol.")] = 16,
    device: Device = "cpu",
) -> None:
    """Score the validation photos and write metrics and sheets render | labels | output | photo (2019: eval_subset)."""
    from nrw.evaluation import scores

    model, dataset = _open(scene, device)
    result = scores.evaluate(model, dataset, out, refine_steps=refine_steps)
    typer.echo(scores.table(result["protocols"]))


@app.command()
def interpolate(
    scene: Scene,
    view: Annotated[str, typer.Argument(help="Id of the photo whose view is shown.", show_default=False)],
    photo_a: PhotoA,
    photo_b: PhotoB,
    out: Out,
    frames: Frames = 48,
    fps: Fps = 24,
    labels: Labels = None,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """One view while the appearance goes in a straight line from one photo's to another's: frames and video.mp4."""
    import torch

    model, dataset = _open(scene, device)
    shown = _painted(dataset.view(_known(dataset, view)), labels, dataset)
    a, b = (_code(model, dataset, photo) for photo in (photo_a, photo_b))
    predict = labels is None and model.completion is not None  # the photo's own labels have its people
    table = _edit(model, dataset, edit)
    pictures = (model.render_view(shown, torch.lerp(a, b, i / (frames - 1)), predict, table) for i in range(frames))
    _write_frames(pictures, frames, fps, out)


@app.command()
def joint(
    scene: Scene,
    photo_a: PhotoA,
    photo_b: PhotoB,
    out: Out,
    frames: Frames = 96,
    fps: Fps = 24,
    size: Size = 480,
    side_by_side: SideBySide = False,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Viewpoint and appearance together from one photo to another: frames and video.mp4."""
    from nrw.videos import shots

    model, dataset = _open(scene, device)
    cloud = _cloud(scene, dataset)
    cameras = [dataset.view(_known(dataset, photo)).camera for photo in (photo_a, photo_b)]
    codes = [_code(model, dataset, photo) for photo in (photo_a, photo_b)]
    planned = shots.joint_shots(cameras, codes, frames, shots.wide(size))
    drawn = shots.draw(model, cloud, planned, side_by_side=side_by_side, edit=_edit(model, dataset, edit))
    _write_frames(drawn, frames, fps, out)


@app.command()
def video(
    scene: Scene,
    path: Annotated[Path, typer.Argument(help="Camera path, JSON: docs/camera-path.md.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Video to write, .mp4.", show_default=False)],
    side_by_side: SideBySide = False,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Film a camera path from a JSON file."""
    from nrw.videos import shots, writer

    if out.suffix != ".mp4":
        raise UserError(f"{out}: a name that ends in .mp4 is expected")
    model, dataset = _open(scene, device)
    cloud = _cloud(scene, dataset)
    planned, fps = shots.from_path(model, dataset, path)
    drawn = shots.draw(model, cloud, planned, side_by_side=side_by_side, edit=_edit(model, dataset, edit))
    writer.write_video(out, _progress(drawn, len(planned)), fps)
    typer.echo(f"{out}: {len(planned)} frames")


@app.command()
def view(
    scene: Scene,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; the next free one where it is taken.")] = 8080,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Fly through the scene in a browser: docs/viewer.md. Needs the extra `viewer`. Ctrl-C ends it."""
    try:
        from nrw.viewer.page import Page
    except ModuleNotFoundError as error:
        if error.name != "viser":
            raise
        raise UserError("nrw view needs the extra `viewer`: in nrw's folder, pip install -e '.[viewer]'") from None
    from nrw.viewer.session import Session

    model, dataset = _open(scene, device)
    page = Page(Session(scene, model, dataset, _cloud(scene, dataset), _edit(model, dataset, edit)), host, port)
    typer.echo(f"{scene} is at {page.url} (Ctrl-C ends it)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.stop()


@app.command()
def appearance_vectors(scene: Scene, out: Table, device: Device = "cpu") -> None:
    """Export the appearance vector of every photo."""
    model, dataset = _open(scene, device)
    codes = np.stack([model.encode(dataset.view(photo)).numpy() for photo in _progress(dataset.ids, len(dataset))])
    _write_table(out, dataset.ids, [f"z{i}" for i in range(codes.shape[1])], codes)


@app.command()
def style_distances(scene: Scene, out: Table) -> None:
    """Export the style distances between the training photos, from which stage 1 chose its triplets."""
    from nrw.core.io import read_json

    folder = scene / "appearance"
    _require(scene, "appearance/model.safetensors")
    if not (folder / "style_distances.npy").exists():
        raise UserError(f"{folder} has no style_distances.npy: stage 1 was left out (training: appearance: kimg: 0)")
    ids = read_json(folder / "style_distances.json")
    _write_table(out, ids, ids, np.load(folder / "style_distances.npy", allow_pickle=False))


@app.command()
def import_aligned(
    folder: Annotated[Path, typer.Argument(help="Data set in the 2019 format.", show_default=False)],
    out: Out,
    min_density: Annotated[float, typer.Option(help="Sparser renders are dropped.")] = 0.15,
    validation_share: Annotated[float, typer.Option(help="Share of validation photos where the set has none.")] = 0.1,
    min_validation: Annotated[int, typer.Option(min=1, help="Least number of validation photos.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 1,
) -> None:
    """Turn a data set in the 2019 format into ours; the workflow does so itself for `scenes: {NAME: {aligned: …}}`."""
    from nrw.dataset import format2019

    format2019.import_alignednedned(
        folder,
        out,
        min_density=min_density,
        validation_share=validation_share,
        min_validation=min_validation,
        seed=seed,
    )
    typer.echo(f"{folder} imported to {out}")


@app.command()
def export_aligned(scene: Scene, out: Out) -> None:
    """Write the scene's photos and renders as a data set in the 2019 aligned format."""
    from nrw.dataset import format2019

    _require(scene, "aligned/split.csv")
    format2019.export_alignednedned(scene / "aligned", out)
    typer.echo(f"{scene / 'aligned'} exported to {out}")


def _require(scene: Path, *files: str) -> None:
    """Raise UserError, naming the target to run, for the first of the scene's files that is missing."""
    if not scene.is_dir():
        raise UserError(f"{scene} is not a folder; name the folder of a scene, such as results/NAME")
    for file in files:
        if not (scene / file).exists():
            raise UserError(f"{scene} has no {file}; run `snakemake --cores all results/{scene.resolve().name}/{file}`")


def _open(scene: Path, device: str) -> tuple["SceneModel", "PackedDataset"]:
    _require(scene, "dataset", "finetune/model.safetensors")
    from nrw.dataset.packed import PackedDataset
    from nrw.scene.model import SceneModel

    completion = scene / "completion"
    return (
        SceneModel.load(
            scene / "finetune", completion if (completion / "model.safetensors").exists() else None, device
        ),
        PackedDataset(scene / "dataset"),
    )


def _cloud(scene: Path, dataset: "PackedDataset") -> "Cloud":
    from nrw.scene.files import read_colored_cloud

    if not dataset.meta["has_index"]:
        raise UserError(
            f"{scene} came as an aligned data set, without a point cloud: only its own views can be rendered"
        )
    _require(scene, "mvs/cloud.ply", "framebuffers/colors.npy")
    return read_colored_cloud(scene / "mvs/cloud.ply", scene / "framebuffers/colors.npy")


def _known(dataset: "PackedDataset", photo: str) -> str:
    if photo not in dataset.split:
        raise UserError(
            f"photo {photo} is not in the data set, which has {len(dataset)} photos, "
            f"{dataset.ids[0]} to {dataset.ids[-1]}; ids are in photos/photos.csv, dropped ones in aligned/split.csv"
        )
    return photo


def _code(model: "SceneModel", dataset: "PackedDataset", photo: str) -> "torch.Tensor":
    return model.encode(dataset.view(_known(dataset, photo)))


def _edit(model: "SceneModel", dataset: "PackedDataset", edits: list[str] | None) -> np.ndarray | None:
    """What `--edit` says, for views whose labels are predicted."""
    from nrw.scene import editing
    from nrw.videos.shots import edit_of

    return edit_of(model, dataset, editing.parse(edits or []))


def _painted(view: "View", labels: Path | None, dataset: "PackedDataset") -> "View":
    """The view with the label map of a file, where one is given."""
    from nrw.scene import editing

    if labels is None:
        return view
    editing.require_labels(dataset.meta)
    return replace(view, labels=editing.read_painted(labels, view.labels.shape))


def _aligned_views(folder: Path, dataset: "PackedDataset") -> Iterator["View"]:
    """The views of a folder of aligned inputs, one by one; see `render`."""
    from nrw.dataset import format2019, pack, packed

    if dataset.meta["has_index"]:
        yield from _edited_views(folder, dataset)
        return
    with TemporaryDirectory() as scratch:
        ours, split_csv, out = Path(scratch, "aligned"), Path(scratch, "aligned", "split.csv"), Path(scratch, "dataset")
        format2019.import_alignednedned(folder, ours, min_density=-1, validation_share=0, min_validation=0, seed=0)
        pack.pack(ours, None, split_csv, out, levels=dataset.meta["levels"], splat=1)
        inputs = packed.PackedDataset(out)
        yield from map(inputs.view, inputs.ids)


def _edited_views(folder: Path, dataset: "PackedDataset") -> Iterator["View"]:
    """The scene's own views with the photos and label maps of a folder."""
    from nrw.core.io import read_image

    found = [photo for photo in dataset.ids if (folder / f"{photo}_reference.png").is_file()]
    if not found:
        raise UserError(
            f"{folder} has no NNNN_reference.png of a photo in the scene's data set; this scene was made from photos, "
            f"so the folder must be its `aligned` folder or a changed copy of that"
        )
    for photo in found:
        view = dataset.view(photo)
        changes = {}
        for field, suffix in (("photo", "reference"), ("labels", "seg")):
            file = folder / f"{photo}_{suffix}.png"
            if suffix == "seg" and not file.exists():
                continue
            changes[field] = read_image(file)
            expected = getattr(view, field)
            if (changes[field].shape, changes[field].dtype) != (expected.shape, expected.dtype):
                raise UserError(f"{file} is {changes[field].shape} {changes[field].dtype}, not {expected.shape} uint8")
        yield replace(view, **changes)


def _progress(items: Iterable, total: int) -> Iterator:
    from nrw.core.progress import progress

    return progress(items, total, "frames")


def _write_frames(pictures: Iterable[np.ndarray], total: int, fps: float, out: Path) -> None:
    """Every picture as out/NNNN.png, and all as out/video.mp4."""
    from nrw.core.io import write_image
    from nrw.videos.writer import write_video

    def kept() -> Iterator[np.ndarray]:
        for number, picture in enumerate(_progress(pictures, total)):
            write_image(out / f"{number:04d}.png", picture)
            yield picture

    write_video(out / "video.mp4", kept(), fps)
    typer.echo(f"{total} frames and video.mp4 in {out}")


def _write_table(out: Path, ids: list[str], columns: list[str], values: np.ndarray) -> None:
    """Write (N, M) values with the ids of their rows as CSV, or the values alone as NPY."""
    from nrw.core.io import atomic_path, write_csv

    if out.suffix == ".csv":
        rows = ({"id": photo, **dict(zip(columns, row, strict=True))} for photo, row in zip(ids, values, strict=True))
        write_csv(out, rows, ["id", *columns])
    elif out.suffix == ".npy":
        with atomic_path(out) as temporary:
            np.save(temporary, values)
    else:
        raise UserError(f"{out}: a name that ends in .csv or .npy is expected")
    typer.echo(f"{len(values)} rows in {out}")
