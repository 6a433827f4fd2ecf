"""The page: a viser scene with the pictures behind cloud and cameras, and the controls beside it."""

import base64
import contextlib
import html
import io
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import viser

from nrw.core.errors import UserError
from nrw.dataset.packed import known_camera
from nrw.geometry.pointcloud import spacing
from nrw.viewer.address import url
from nrw.viewer.scheduler import DrawScheduler
from nrw.viewer.session import PICTURE, Look, Session, Viewpoint, thinned

POINTS = "points"  # the mode that shows the cloud itself, drawn by the browser
BROWSER_POINTS = 200_000  # points of the cloud sent to the browser
SMALL = 256  # pixels, longer side of the pictures while the camera moves; a GPU draws them in full size
SIZES = (256, 1024)  # pixels, smallest and largest size at rest
FIRST_SIZE = 512  # pixels, size at rest to begin with
FRUSTUM = 0.06  # world units, size of a camera in the scene
SECONDS = 2.0  # between key frames, to begin with
PHOTO_COLOR, KEYFRAME_COLOR = (40, 120, 220), (240, 120, 30)
OUTLINES = ("#f0781e", "#2878dc")  # of the thumbnails of the first and second photo
CLICKS = {"first": "the first appearance", "second": "the second appearance", "view": "go to its view"}

logger = logging.getLogger(__name__)
Wanted = tuple[Viewpoint, Look, int]  # a picture: from where, of what, and its longer side in pixels


class Page:
    """A web server for one session, on `host` and `port`, which must be free (`address.free_port`).

    All browsers share what is shown and the key frames; each has its own camera. See docs/viewer.md.
    """

    def __init__(self, session: Session, host: str, port: int):
        self.session = session
        self.look, self.size = session.start(), FIRST_SIZE
        self._lock = threading.RLock()  # viser runs callbacks in several threads
        with _silence():
            self.server = viser.ViserServer(host, port, label=f"nrw: {session.files.name}", verbose=False)
        self.url = url(host, self.server.get_port())
        self.scheduler = DrawScheduler(self._draw, self._show)
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)  # sharing opens a public tunnel
        self._add_scene()
        self._add_controls()
        self._set_look(self.look)
        self.server.on_client_connect(self._welcome)
        self.server.on_client_disconnect(lambda client: self.scheduler.forget(client.client_id))

    def stop(self) -> None:
        """Stop drawing and serving."""
        self.scheduler.stop()
        with _silence():
            self.server.stop()

    # pictures

    def _draw(self, what: Wanted, fine: bool) -> np.ndarray:
        viewpoint, look, size = what
        if fine or self.session.model.device.type != "cpu":
            return self.session.draw(viewpoint, look, size)
        return self.session.draw(viewpoint, look, min(size, SMALL), fine=False)

    def _show(self, client_id: int, what: Wanted, picture: np.ndarray, fine: bool, seconds: float) -> None:
        client = self.server.get_clients().get(client_id)
        with self._lock:
            if client is None or self.look.mode == POINTS:
                return
            client.scene.set_background_image(picture, format="jpeg", jpeg_quality=90 if fine else 80)
            client.flush()
            height, width = picture.shape[:2]
            self._say(f"{width} × {height} pixels in {seconds:.2f} s")

    def _request(self, client: viser.ClientHandle) -> None:
        """Request the picture of the client's current viewpoint."""
        if self.look.mode == POINTS:
            self.scheduler.forget(client.client_id)
            client.scene.set_background_image(None)
        else:
            self.scheduler.request(client.client_id, (_viewpoint(client.camera), self.look, self.size))

    def _set_look(self, look: Look) -> None:
        self.look = look
        self._cloud.visible = look.mode == POINTS
        self._say(f"{len(self._cloud.points)} of {len(self.session.cloud)} points" if look.mode == POINTS else "…")
        outlines = zip(reversed(look.photos), reversed(OUTLINES), strict=True)
        self._chosen.content = "".join(
            f'<style>[data-photo="{photo_id}"] img {{outline: 3px solid {color}}}</style>'
            for photo_id, color in outlines
        )
        for client in self.server.get_clients().values():
            self._request(client)

    def _say(self, detail: str) -> None:
        """Describe what is shown in two lines, of which `detail` is the second."""
        weights = ", ".join(f"{photo_id} {100 * weight:.0f} %" for photo_id, weight in self.look.weights.items())
        appearance = f" in the light of {weights}" if self.look.mode == PICTURE else ""
        self._status.content = f"**{self.look.mode}**{appearance}  \n{detail}"

    # cameras

    def _welcome(self, client: viser.ClientHandle) -> None:
        self._go_to(client, self.look.photos[0])
        client.camera.on_update(lambda camera: self._request(client))
        self._request(client)

    def _go_to(self, client: viser.ClientHandle, photo_id: str) -> None:
        viewpoint, target = self.session.place(photo_id, client.camera.aspect)
        with client.atomic():
            client.camera.position = np.array(viewpoint.position)
            client.camera.look_at = target
            client.camera.up_direction = (0.0, 0.0, 1.0)
            client.camera.fov = viewpoint.fov

    def _goes_to(self, photo_id: str) -> Callable[[viser.SceneNodePointerEvent], None]:
        return lambda event: self._go_to(event.client, photo_id)

    # the scene

    def _add_scene(self) -> None:
        session, scene = self.session, self.server.scene
        chosen = thinned(len(session.cloud), BROWSER_POINTS)
        points = session.cloud.points[chosen]
        size = float(np.median(spacing(points))) if len(points) > 1 else FRUSTUM
        colors = session.cloud.colors[chosen]
        self._cloud = scene.add_point_cloud("/cloud", points, colors, point_size=size, precision="float32")
        self._cameras = scene.add_frame("/cameras", show_axes=False, visible=False)
        for photo_id in session.ids:
            camera = known_camera(session.dataset.view(photo_id))
            aspect = camera.width / camera.height
            image = np.asarray(session.thumbnail(photo_id, 64))
            frustum = self._add_frustum(f"photo_{photo_id}", Viewpoint.of(camera, aspect), PHOTO_COLOR, image)
            frustum.on_click(self._goes_to(photo_id))
        first, target = session.place(self.look.photos[0], 16 / 9)
        start = self.server.initial_camera
        start.position, start.look_at, start.fov = first.position, target, first.fov

    def _add_frustum(
        self, name: str, place: Viewpoint, color: tuple[int, int, int], image: np.ndarray | None = None
    ) -> viser.CameraFrustumHandle:
        return self.server.scene.add_camera_frustum(
            f"/cameras/{name}", place.fov, place.aspect, scale=FRUSTUM, thickness=FRUSTUM / 40, color=color,
            image=image, wxyz=place.wxyz, position=place.position,
        )  # fmt: skip

    # the controls

    def _add_controls(self) -> None:
        gui = self.server.gui
        self._status = gui.add_markdown("")
        show = gui.add_button_group("Show", [*self.session.modes, POINTS])
        show.on_click(lambda event: self._change(mode=event.target.value))
        size = gui.add_slider(
            "Size at rest", *SIZES, step=64, initial_value=self.size, hint="Longer side of the fine picture, pixels."
        )
        size.on_update(lambda event: self._resize(event.target.value))
        cameras = gui.add_checkbox(
            "Cameras", False, hint="Cameras of the photos (blue) and of the key frames (orange)."
        )
        cameras.on_update(lambda event: setattr(self._cameras, "visible", event.target.value))
        snapshot = gui.add_button("Snapshot", icon=viser.Icon.CAMERA)
        snapshot.on_click(self._reporting(self._snapshot))
        with gui.add_folder("Appearance"):
            self._blend = gui.add_slider(
                "Blend", 0.0, 1.0, step=0.01, initial_value=0.0, hint="From the first appearance to the second."
            )
            self._blend.on_update(lambda event: self._change(blend=float(event.target.value)))
            self._click = gui.add_dropdown("A click sets", list(CLICKS.values()))
            thumbnails = gui.add_html("")
            self._chosen = gui.add_html("")
            with gui.add_folder("By number", expand_by_default=False):
                buttons = {photo_id: gui.add_button(photo_id) for photo_id in self.session.ids}
            for photo_id, button in buttons.items():
                button.on_click(self._chooses(photo_id))
            thumbnails.content = self._thumbnails(buttons)
        with gui.add_folder("Key frames"):
            self._seconds = gui.add_number(
                "Seconds", SECONDS, min=0.1, max=600.0, step=0.1, hint="After the previous key frame."
            )
            gui.add_button("Add key frame").on_click(self._reporting(self._add_keyframe))
            gui.add_button("Remove the last").on_click(self._reporting(self._remove_keyframe))
            self._name = gui.add_text("Name", "path")
            gui.add_button("Save path").on_click(self._reporting(self._save_path))
            self._recorded = gui.add_markdown("No key frame yet.")

    def _thumbnails(self, buttons: dict[str, viser.GuiButtonHandle]) -> str:
        """Lay out the photos as HTML. Each is the label of its button, so that a click on it presses the button."""
        cells = []
        for photo_id, button in buttons.items():
            data = io.BytesIO()
            self.session.thumbnail(photo_id, 96).save(data, "JPEG", quality=75)
            source = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
            number = html.escape(photo_id)
            cells.append(
                f'<label for="{button._impl.uuid}" data-photo="{number}" title="{number}" style="cursor:pointer">'
                f'<img src="{source}" alt="photo {number}" style="width:100%;display:block;border-radius:2px"></label>'
            )
        grid = "display:grid;grid-template-columns:repeat(4,1fr);gap:6px;padding:5px 12px"
        grid += ";max-height:15em;overflow-y:auto"
        return f'<div style="{grid}">{"".join(cells)}</div>'

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._set_look(replace(self.look, **changes))

    def _resize(self, size: int) -> None:
        self.size = size
        for client in self.server.get_clients().values():
            self._request(client)

    def _choose(self, client: viser.ClientHandle, photo_id: str) -> None:
        """Show the appearance or the view of a photo that was clicked."""
        if self._click.value == CLICKS["view"]:
            self._go_to(client, photo_id)
            return
        with self._lock:
            first, second = self.look.photos
            if self._click.value == CLICKS["first"]:
                look = replace(self.look, photos=(photo_id, second), blend=0.0)
            else:
                look = replace(self.look, photos=(first, photo_id), blend=1.0)
            self._set_look(look)
            self._blend.value = look.blend  # type: ignore[misc]  # viser's setter is apart from its getter

    def _chooses(self, photo_id: str) -> Callable[[viser.GuiEvent], None]:
        return lambda event: self._choose(_client(event), photo_id)

    def _reporting(self, action: Callable[[viser.ClientHandle], str]) -> Callable[[viser.GuiEvent], None]:
        """Make a callback that runs the action and notifies the browser of its result or its UserError."""

        def callback(event: viser.GuiEvent) -> None:
            client = _client(event)
            color: Literal["red"] | None = None
            try:
                with self._lock:
                    title, body = "Done", action(client)
            except UserError as error:
                title, body, color = "Not done", str(error), "red"
            client.add_notification(title, body, auto_close_seconds=8.0, color=color)

        return callback

    def _snapshot(self, client: viser.ClientHandle) -> str:
        if self.look.mode == POINTS:
            raise UserError(f"points cannot be saved as a snapshot: show {' or '.join(self.session.modes)}")
        path = self.session.snapshot(_viewpoint(client.camera), self.look, self.size)
        client.send_file_download(path.name, path.read_bytes())
        logger.info("%s", path)
        return f"Saved as {path}"

    def _add_keyframe(self, client: viser.ClientHandle) -> str:
        viewpoint = _viewpoint(client.camera)
        self.session.add_keyframe(viewpoint, self.look.weights, float(self._seconds.value))
        self._add_frustum(f"key_{len(self.session.keyframes)}", viewpoint, KEYFRAME_COLOR)
        return self._list_keyframes()

    def _remove_keyframe(self, client: viser.ClientHandle) -> str:
        if not self.session.keyframes:
            raise UserError("there is no key frame")
        self.server.scene.remove_by_name(f"/cameras/key_{len(self.session.keyframes)}")
        self.session.keyframes.pop()
        return self._list_keyframes()

    def _list_keyframes(self) -> str:
        lines = [f"- {time:.1f} s: {', '.join(weights)}" for time, _, weights in self.session.keyframes]
        self._recorded.content = "\n".join(lines) or "No key frame yet."
        return f"Key frames: {len(lines)}"

    def _save_path(self, client: viser.ClientHandle) -> str:
        path = self.session.save_path(self._name.value, self.size)
        command = self.session.video_command(path)
        self._list_keyframes()
        self._recorded.content += f"\n\nSaved. To make the video:\n\n```\n{command}\n```"
        logger.info("%s", command)
        return f"Saved as {path}"


def _silence() -> contextlib.AbstractContextManager:
    """Suppress what viser prints when it starts and stops."""
    return contextlib.redirect_stdout(io.StringIO())


def _client(event: viser.GuiEvent) -> viser.ClientHandle:
    """Return the browser in which a button was pressed."""
    assert event.client is not None  # only a value that the server sets has none
    return event.client


def _viewpoint(camera: viser.CameraHandle) -> Viewpoint:
    return Viewpoint(
        tuple(camera.position.tolist()), tuple(camera.wxyz.tolist()), float(camera.fov), float(camera.aspect)
    )
