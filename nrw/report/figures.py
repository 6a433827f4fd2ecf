"""Figures of the page as Plotly JSON; the page's style sets the colours of text and grid."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud, read_cloud

CLOUD_POINTS = 40_000  # at most drawn
PALETTE = 256  # colours of the points
FRUSTUM = 0.12  # height of a drawn camera, of the scene's size
MAX_CAMERAS = 1000  # at most drawn, an even selection
COLORS = {"train": "#2f7ed8", "val": "#e8871e", "dropped": "#9a9a9a"}  # safe for colour-blind readers
NAMES = {"train": "trained on", "val": "validation", "dropped": "dropped"}
MEASURED = {"val_psnr": ("validation PSNR, dB", ".2f"), "val_accuracy": ("validation accuracy", ".0%")}
LINES = ("#2f7ed8", "#e8871e", "#2a9d6f", "#b14fc5", "#9a9a9a", "#c0392b")


def thinned(cloud_ply: Path, colors: np.ndarray | None, seed: int) -> Cloud:
    """Draw at most CLOUD_POINTS random points of a cloud, with the colours (N, 3) uint8 if these are given."""
    cloud = read_cloud(cloud_ply)
    chosen = np.random.default_rng(seed).permutation(len(cloud))[:CLOUD_POINTS]
    return Cloud(cloud.points[chosen], (cloud.colors if colors is None else colors)[chosen], cloud.normals[chosen])


def scene(cloud: Cloud, cameras: Mapping[str, Camera], files: Mapping[str, str], split: Mapping[str, str]) -> str:
    """Draw the cloud and the cameras in 3D. cameras, files, split: by photo id."""
    centers = np.array([camera.center for camera in cameras.values()])
    low, high = _box(cloud.points, centers)
    inside = np.all((cloud.points >= low) & (cloud.points <= high), axis=1)
    index, scale = _palette(cloud.colors[inside])
    x, y, z = cloud.points[inside].T
    traces = [
        go.Scatter3d(
            x=x, y=y, z=z, mode="markers", name="cloud", hoverinfo="skip", showlegend=False,
            marker={"size": 1.6, "color": index, "colorscale": scale, "cmin": 0, "cmax": PALETTE - 1, "line_width": 0},
        )
    ]  # fmt: skip
    size = FRUSTUM * float(np.median(np.linalg.norm(centers - np.median(cloud.points, axis=0), axis=1)))
    drawn = list(cameras)[:: -(-len(cameras) // MAX_CAMERAS)]
    for part, color in COLORS.items():
        ids = [photo_id for photo_id in drawn if split[photo_id] == part]
        if not ids:
            continue
        edges = np.concatenate([_frustum(cameras[photo_id], size) for photo_id in ids]).T
        at = np.array([cameras[photo_id].center for photo_id in ids]).T
        lines = {"color": color, "width": 2}
        traces += [
            go.Scatter3d(
                x=edges[0], y=edges[1], z=edges[2], mode="lines", line=lines, hoverinfo="skip",
                legendgroup=part, showlegend=False,
            ),
            go.Scatter3d(
                x=at[0], y=at[1], z=at[2], mode="markers", marker={"size": 3, "color": color}, legendgroup=part,
                name=f"{NAMES[part]} ({len(ids)})", hovertemplate="%{text}<extra></extra>",
                text=[html.escape(f"{photo_id}  {files[photo_id]}") for photo_id in ids],
            ),
        ]  # fmt: skip
    figure = go.Figure(traces)
    axis = {"visible": False}
    span = high - low
    figure.update_layout(
        scene={
            "xaxis": {**axis, "range": [low[0], high[0]]},
            "yaxis": {**axis, "range": [low[1], high[1]]},
            "zaxis": {**axis, "range": [low[2], high[2]]},
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", (2 * span / np.linalg.norm(span[:2])).tolist(), strict=True)),
            "camera": {"eye": _eye(cameras.values()), "up": {"x": 0, "y": 0, "z": 1}},
            "dragmode": "orbit",
        },
    )
    return _json(figure, margin=0)


def _box(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the corners (3,) of a box around cameras and points, without outliers."""
    low = np.minimum(np.percentile(points, 1, axis=0), np.percentile(centers, 2, axis=0))
    high = np.maximum(np.percentile(points, 99, axis=0), np.percentile(centers, 98, axis=0))
    margin = 0.05 * np.linalg.norm(high - low)
    return low - margin, high + margin


def _eye(cameras: Iterable[Camera]) -> dict[str, float]:
    """Choose the first viewpoint, behind and above the cameras, in Plotly's units about the middle of the box."""
    forward = np.mean([camera.rotation[2] for camera in cameras], axis=0)[:2]
    length = np.linalg.norm(forward)
    x, y = -1.85 * forward / length if length > 0 else (0.0, -1.85)
    return {"x": float(x), "y": float(y), "z": 0.75}


def _palette(colors: np.ndarray) -> tuple[np.ndarray, list[list]]:
    """Quantise colours (N, 3) uint8 to indices (N,) uint8, a byte per point, and a Plotly colour scale."""
    image = Image.fromarray(colors[None]).quantize(PALETTE, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    table = np.zeros((PALETTE, 3), int)
    found = np.array(image.getpalette("RGB"), int).reshape(-1, 3)[:PALETTE]
    table[: len(found)] = found
    scale = [[step / (PALETTE - 1), f"rgb({r},{g},{b})"] for step, (r, g, b) in enumerate(table.tolist())]
    return np.asarray(image)[0], scale


def _frustum(camera: Camera, size: float) -> np.ndarray:
    """Draw a camera as a pyramid of height `size`: the points (14, 3) of a line, which NaN interrupts."""
    x = np.array([0, camera.width, camera.width, 0]) - camera.cx
    y = np.array([0, 0, camera.height, camera.height]) - camera.cy
    corners = size * np.stack([x / camera.fx, y / camera.fy, np.ones(4)], axis=1) @ camera.rotation + camera.center
    a, b, c, d = corners
    apex, gap = camera.center, np.full(3, np.nan)
    return np.array([apex, a, b, apex, c, d, apex, gap, b, c, gap, d, a, gap])


def densities(rows: Sequence[Mapping], depth: Mapping[str, float] | None, limit: float) -> str:
    """Plot the share of each photo that shows points, in decreasing order. rows: {id, file, density, split}.

    depth: share of the pixels with a depth, by photo id; None for a scene that came aligned. limit: density below which
    photos are dropped.
    """
    ordered = sorted(rows, key=lambda row: -row["density"])
    place = {row["id"]: number for number, row in enumerate(ordered, start=1)}
    traces = []
    if depth is not None:
        traces.append(
            go.Scatter(
                x=[place[row["id"]] for row in ordered], y=[depth[row["id"]] for row in ordered], mode="markers",
                name="own depth map", marker={"symbol": "line-ew-open", "size": 9, "color": "#9a9a9a"},
                text=[html.escape(row["file"]) for row in ordered], hovertemplate="%{text}: %{y:.0%}<extra></extra>",
            )
        )  # fmt: skip
    for part, color in COLORS.items():
        chosen = [row for row in ordered if row["split"] == part]
        if chosen:
            traces.append(
                go.Scatter(
                    x=[place[row["id"]] for row in chosen], y=[row["density"] for row in chosen], mode="markers",
                    name=f"render, {NAMES[part]}", marker={"size": 8, "color": color},
                    text=[html.escape(row["file"]) for row in chosen], hovertemplate="%{text}: %{y:.0%}<extra></extra>",
                )
            )  # fmt: skip
    figure = go.Figure(traces)
    figure.add_hline(y=limit, line={"dash": "dot", "color": "#c0392b", "width": 1.5})
    figure.update_layout(
        xaxis={"title": {"text": "photos, best covered first"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "share of the picture"}, "tickformat": ".0%", "range": [0, 1.02]},
    )
    return _json(figure)


def curves(rows: Sequence[Mapping]) -> str:
    """Plot the losses of a stage over its length and, on a second axis, its validation score.

    rows: of stats.jsonl. Where there are several losses, only their weighted total is visible at first.
    """
    kimg = [row["kimg"] for row in rows]
    known = {"step", "kimg", "seconds", "images_per_s", "learning_rate"}
    names = [name for name in rows[0] if name not in known]
    measured = [name for name in names if name.startswith("val_")]
    drawn = [name for name in names if name not in measured]
    traces = [
        go.Scatter(
            x=kimg, y=[row[name] for row in rows], name=name.replace("_", " "), mode="lines+markers",
            line={"color": LINES[number % len(LINES)], "width": 2}, marker={"size": 5},
            visible=True if "total" not in drawn or name == "total" else "legendonly",
        )
        for number, name in enumerate(sorted(drawn, key=lambda name: name != "total"))
    ]  # fmt: skip
    shown = [name for name in measured if name in MEASURED]
    traces += [
        go.Scatter(
            x=kimg, y=[row[name] for row in rows], name=MEASURED[name][0], mode="lines+markers", yaxis="y2",
            line={"color": "#c0392b", "width": 2, "dash": "dot"}, marker={"size": 5, "symbol": "diamond"},
        )
        for name in shown
    ]  # fmt: skip
    figure = go.Figure(traces)
    figure.update_layout(
        xaxis={"title": {"text": "thousands of crops (kimg)"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "loss"}, "rangemode": "tozero"},
    )
    if shown:
        title, form = MEASURED[shown[0]]
        axis = {"title": {"text": title}, "tickformat": form, "tickmode": "auto", "nticks": 6, "showgrid": False}
        if form.endswith("%"):
            axis["range"] = [0, 1]
        figure.update_layout(yaxis2={**axis, "overlaying": "y", "side": "right"})
    return _json(figure)


def _json(figure: go.Figure, margin: int | None = None) -> str:
    """Encode as JSON that is safe inside a script element."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 60, "r": 64, "t": 16, "b": 48} if margin is None else dict.fromkeys("lrtb", margin),
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}
        if margin is None
        else {"x": 0.01, "y": 0.99, "itemsizing": "constant"},
        hoverlabel={"namelength": -1},
    )
    return figure.to_json().replace("<", "\\u003c")
