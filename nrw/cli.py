"""The command line `nrw`: commands on a trained scene, and data sets in the 2019 format in and out."""

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

from nrw.core.errors import UserError, of_machine
from nrw.core.io import atomic_path, read_image, read_json, require_writable, write_csv, write_image
from nrw.core.progress import progress
from nrw.scene.files import SceneFiles

if TYPE_CHECKING:
    import torch
    from typer._click import Context

    from nrw.dataset.packed import PackedDataset, View
    from nrw.scene.model import SceneModel


class _Commands(typer.core.TyperGroup):
    """Prints a UserError as its message, without a traceback, and exits with status 1."""

    def invoke(self, ctx: "Context") -> object:
        try:
            return super().invoke(ctx)
        except Exception as error:
            shown = error if isinstance(error, UserError) else of_machine(error)
            if shown is None:
                raise
            typer.echo(f"Error: {shown}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Render a trained scene. The workflow trains it: see the README.",
)

Scene = Annotated[Path, typer.Argument(help="Folder of a trained scene: results/NAME.", show_default=False)]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where the networks run.")]
Out = Annotated[Path, typer.Argument(help="Output folder.", show_default=False)]
PhotoA = Annotated[str, typer.Argument(help="Id of the first photo, such as 0007.", show_default=False)]
PhotoB = Annotated[str, typer.Argument(help="Id of the second photo.", show_default=False)]
Frames = Annotated[int, typer.Option(min=2, help="Number of frames.")]
Fps = Annotated[float, typer.Option(min=1, help="Frames per second.")]
Size = Annotated[int, typer.Option(min=64, help="Longer side of the video, pixels.")]
SideBySide = Annotated[bool, typer.Option(help="Show the raw render of the cloud beside each picture.")]
Edit = Annotated[
    list[str] | None,
    typer.Option(
        help="Replace a class in the label maps: grass=sidewalk (ADE20K names; repeatable).", show_default=False
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(help="Painted label map for the view, PNG: docs/semantic-editing.md.", show_default=False),
]
TABLES = (".csv", ".npy")
Table = Annotated[
    Path, typer.Argument(help="Output file: .csv (with ids) or .npy (rows in order of id).", show_default=False)
]


@app.callback()
def main() -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # idle threads of torch yield their core, as in the workflow
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("nrw").setLevel(logging.INFO)


@app.command()
def render(
    scene: Scene,
    folder: Annotated[
        Path, typer.Argument(help="Aligned pictures: NNNN_reference.png, NNNN_color.png, …", show_default=False)
    ],
    out: Out,
    appearance: Annotated[
        str | None, typer.Option(help="Id of the photo whose appearance all pictures get.", show_default="their own")
    ] = None,
    photo: Annotated[str | None, typer.Option(help="Id of the only photo to render.", show_default="all")] = None,
    labels: Labels = None,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Render a folder of aligned pictures, each in the appearance of its own photo or all in one (2019: eval_dir).

    Label maps are read from the folder, so an edited NNNN_seg.png edits the picture; `--edit` replaces a class in all
    of them, `--photo NNNN --labels PNG` uses a painted map for one. The networks of a scene made from photos also read
    which point of the cloud each pixel shows, which aligned pictures do not store: for such a scene the folder must be
    results/NAME/aligned or a copy of it with changed photos or labels.
    """
    from nrw.scene import editing

    if labels is not None and photo is None:
        raise UserError("--labels is the map of one view: name its photo with --photo")
    model, dataset = SceneFiles(scene).open(device)
    z = None if appearance is None else _code(model, dataset, appearance)
    table = editing.table(editing.parse(edit or []), dataset.meta)
    count = 0
    for view in _aligned_views(folder, dataset):
        if photo not in (None, view.id):
            continue
        shown, code = _painted(view, labels, dataset), model.encode(view) if z is None else z
        require_writable(out / f"{view.id}.png")
        write_image(out / f"{view.id}.png", model.render_view(shown, code, edit=table))
        count += 1
    if count == 0:
        raise UserError(f"{folder} has no photo {photo}")
    typer.echo(f"{count} pictures in {out}")


@app.command()
def evaluate(
    scene: Scene,
    out: Out,
    refine_steps: Annotated[int, typer.Option(min=0, help="Gradient steps of the protocol half_refined.")] = 16,
    device: Device = "cpu",
) -> None:
    """Score the validation photos; write metrics and sheets of render | labels | output | photo (2019: eval_subset)."""
    from nrw.evaluation import scores

    model, dataset, views, photos = SceneFiles(scene).open_scored(device)
    require_writable(out / "metrics.json")
    result = scores.evaluate(model, dataset, views, photos, out, refine_steps=refine_steps)
    typer.echo(scores.report(result))


@app.command()
def interpolate(
    scene: Scene,
    view: Annotated[str, typer.Argument(help="Id of the photo whose view is rendered.", show_default=False)],
    photo_a: PhotoA,
    photo_b: PhotoB,
    out: Out,
    frames: Frames = 48,
    fps: Fps = 24,
    labels: Labels = None,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Render one view while the appearance changes linearly from one photo's to another's: frames and video.mp4."""
    import torch

    model, dataset = SceneFiles(scene).open(device)
    shown = _painted(dataset.view(_known(dataset, view)), labels, dataset)
    a, b = (_code(model, dataset, photo_id) for photo_id in (photo_a, photo_b))
    predict = labels is None and model.completion is not None  # the photo's own labels include its people
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
    """Move viewpoint and appearance together from one photo to another: frames and video.mp4."""
    from nrw.dataset.packed import known_camera
    from nrw.videos import shots

    views, dataset = SceneFiles(scene).open_views(device)
    cameras = [known_camera(dataset.view(_known(dataset, photo_id))) for photo_id in (photo_a, photo_b)]
    codes = {photo_id: _code(views.model, dataset, photo_id) for photo_id in (photo_a, photo_b)}
    planned = shots.joint_shots(cameras, (photo_a, photo_b), codes, frames, shots.wide(size))
    drawn = shots.draw(views, planned, side_by_side=side_by_side, edit=_edit(views.model, dataset, edit))
    _write_frames(drawn, frames, fps, out)


@app.command()
def video(
    scene: Scene,
    path: Annotated[Path, typer.Argument(help="Camera path, JSON: docs/camera-path.md.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Output file, .mp4.", show_default=False)],
    side_by_side: SideBySide = False,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Render the video of a camera path."""
    from nrw.videos import shots, writer

    views, dataset = SceneFiles(scene).open_views(device)
    planned, fps = shots.from_path(views.model, dataset, path)
    require_writable(out, [".mp4"])
    drawn = shots.draw(views, planned, side_by_side=side_by_side, edit=_edit(views.model, dataset, edit))
    writer.write_video(out, _progress(drawn, len(planned)), fps)
    typer.echo(f"{out}: {len(planned)} frames")


@app.command()
def view(
    scene: Scene,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 admits other machines.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port.", show_default="8080, or the next free one")
    ] = None,
    edit: Edit = None,
    device: Device = "cpu",
) -> None:
    """Fly through the scene in a browser: docs/viewer.md. Needs the extra `viewer`. Stop it with Ctrl-C."""
    try:
        from nrw.viewer.page import Page
    except ModuleNotFoundError as error:
        if error.name != "viser":
            raise
        raise UserError("nrw view needs the extra `viewer`: in nrw's folder, pip install -e '.[viewer]'") from None
    from nrw.viewer.address import free_port
    from nrw.viewer.session import Session

    port = free_port(host, port)
    files = SceneFiles(scene)
    views, dataset = files.open_views(device)
    page = Page(Session(files, views, dataset, _edit(views.model, dataset, edit)), host, port)
    typer.echo(f"{scene} is at {page.url} (Ctrl-C stops it)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.stop()


@app.command()
def appearance_vectors(scene: Scene, out: Table, device: Device = "cpu") -> None:
    """Export the appearance vector of every photo."""
    model, dataset = SceneFiles(scene).open(device)
    require_writable(out, TABLES)
    codes = np.stack([_code(model, dataset, photo_id).numpy() for photo_id in _progress(dataset.ids, len(dataset))])
    _write_table(out, dataset.ids, [f"z{i}" for i in range(codes.shape[1])], codes)


@app.command()
def style_distances(scene: Scene, out: Table) -> None:
    """Export the style distances between the training photos, by which stage 1 chooses its triplets."""
    files = SceneFiles(scene)
    files.require(files.model("appearance"))
    if not files.style_distances.exists():
        raise UserError(f"{files.style_distances} is missing: stage 1 was skipped (training.appearance.kimg is 0)")
    require_writable(out, TABLES)
    ids = read_json(files.style_distances_ids)
    _write_table(out, ids, ids, np.load(files.style_distances, allow_pickle=False))


@app.command()
def import_aligned(
    folder: Annotated[Path, typer.Argument(help="Data set in the 2019 format.", show_default=False)],
    out: Out,
    min_density: Annotated[
        float, typer.Option(help="Photos whose render covers a smaller share of the picture are dropped.")
    ] = 0.15,
    validation_share: Annotated[
        float, typer.Option(help="Share of validation photos, for a set without train/ and val/.")
    ] = 0.1,
    min_validation: Annotated[int, typer.Option(min=1, help="Minimum number of validation photos.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 1,
) -> None:
    """Convert a data set from the 2019 format; the workflow does so for a scene with `scenes.NAME.aligned`."""
    from nrw.dataset import format2019

    require_writable(out / "index.csv")
    format2019.import_aligned(
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
    """Export the photos and renders of a scene as a data set in the 2019 format."""
    from nrw.dataset import format2019

    files = SceneFiles(scene)
    files.require(files.split)
    format2019.export_aligned(files.aligned, out)
    typer.echo(f"{files.aligned} exported to {out}")


def _known(dataset: "PackedDataset", photo_id: str) -> str:
    """Return the id. Raises UserError where the data set has no such photo."""
    if photo_id not in dataset.split:
        raise UserError(
            f"photo {photo_id} is not in the data set, which has {len(dataset)} photos, {dataset.ids[0]} to "
            f"{dataset.ids[-1]}; ids are listed in photos/photos.csv, dropped photos in aligned/split.csv"
        )
    return photo_id


def _code(model: "SceneModel", dataset: "PackedDataset", photo_id: str) -> "torch.Tensor":
    return model.encode(dataset.view(_known(dataset, photo_id)))


def _edit(model: "SceneModel", dataset: "PackedDataset", edits: list[str] | None) -> np.ndarray | None:
    """Build the table of `scene.editing` for `--edit`, for views whose labels are predicted."""
    from nrw.scene import editing
    from nrw.videos.shots import edit_of

    return edit_of(model, dataset, editing.parse(edits or []))


def _painted(view: "View", labels: Path | None, dataset: "PackedDataset") -> "View":
    """Replace the label map of a view by that of a file, if one is given."""
    from nrw.scene import editing

    if labels is None:
        return view
    editing.require_labels(dataset.meta)
    return replace(view, labels=editing.read_painted(labels, view.labels.shape))


def _aligned_views(folder: Path, dataset: "PackedDataset") -> Iterator["View"]:
    """Yield the views of a folder of aligned pictures; see `render`."""
    from nrw.dataset import format2019, pack, packed

    if dataset.meta["has_index"]:
        yield from _edited_views(folder, dataset)
        return
    with TemporaryDirectory() as scratch:
        ours, split_csv, out = Path(scratch, "aligned"), Path(scratch, "aligned", "split.csv"), Path(scratch, "dataset")
        format2019.import_aligned(folder, ours, min_density=-1, validation_share=0, min_validation=0, seed=0)
        pack.pack_dataset(ours, None, split_csv, out, levels=dataset.meta["levels"])
        inputs = packed.PackedDataset(out)
        yield from map(inputs.view, inputs.ids)


def _edited_views(folder: Path, dataset: "PackedDataset") -> Iterator["View"]:
    """Yield the scene's own views with the photos and label maps of a folder."""
    from nrw.framebuffers.aligned import aligned_paths
    from nrw.scene import editing

    found = [photo_id for photo_id in dataset.ids if aligned_paths(folder, photo_id)["reference"].is_file()]
    if not found:
        raise UserError(
            f"{folder} has no NNNN_reference.png of a photo in the scene's data set; this scene was made from photos, "
            f"so the folder must be its `aligned` folder or a changed copy of it"
        )
    for photo_id in found:
        view, paths = dataset.view(photo_id), aligned_paths(folder, photo_id)
        pixels, labels = read_image(paths["reference"]), view.labels
        if (pixels.shape, pixels.dtype) != (view.pixels.shape, view.pixels.dtype):
            raise UserError(f"{paths['reference']} is {pixels.shape} {pixels.dtype}, not {view.pixels.shape} uint8")
        if paths["seg"].exists():
            labels = editing.read_painted(paths["seg"], labels.shape)
        yield replace(view, pixels=pixels, labels=labels)


def _progress(items: Iterable, total: int) -> Iterator:
    return progress(items, total, "frames")


def _write_frames(pictures: Iterable[np.ndarray], total: int, fps: float, out: Path) -> None:
    """Write each picture as out/NNNN.png, and all of them as out/video.mp4."""
    from nrw.videos.writer import write_video

    require_writable(out / "video.mp4")

    def kept() -> Iterator[np.ndarray]:
        for number, picture in enumerate(_progress(pictures, total)):
            write_image(out / f"{number:04d}.png", picture)
            yield picture

    write_video(out / "video.mp4", kept(), fps)
    typer.echo(f"{total} frames and video.mp4 in {out}")


def _write_table(out: Path, ids: list[str], columns: list[str], values: np.ndarray) -> None:
    """Write (N, M) values as CSV with the ids of their rows, or as NPY without."""
    if out.suffix.lower() == ".csv":
        rows = (
            {"id": photo_id, **dict(zip(columns, row, strict=True))} for photo_id, row in zip(ids, values, strict=True)
        )
        write_csv(out, rows, ["id", *columns])
    else:
        with atomic_path(out) as temporary, open(temporary, "wb") as stream:
            np.save(stream, values)
    typer.echo(f"{len(values)} rows in {out}")
