"""What the browser shows: a viser scene, with the pictures behind cloud and cameras, and the controls beside it."""

import base64
import contextlib
import html
import io
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import viser

from nrw.core.errors import UserError
from nrw.geometry.pointcloud import spacing
from nrw.viewer.scheduler import Renderer
from nrw.viewer.session import Look, Session, Viewpoint, thinned

POINTS = "points"  # the mode that shows the cloud itself, drawn by the browser
BROWSER_POINTS = 200_000
SMALL = 256  # longer side of the pictures while the camera moves, pixels; a GPU draws them all in full
SIZES = (256, 1024)
FIRST_SIZE = 512
FRUSTUM = 0.06  # world units
SECONDS = 2.0  # between key frames
PHOTO_COLOR, KEYFRAME_COLOR = (40, 120, 220), (240, 120, 30)
OUTLINES = ("#f0781e", "#2878dc")  # of the first and the second photo's thumbnail
CLICKS = {"first": "the first appearance", "second": "the second appearance", "view": "go to its view"}

logger = logging.getLogger(__name__)


class Page:
    """A web server for one session, on `host` and `port` (the next free one where it is taken).

    All browsers share what is shown and the key frames; each has its own camera. See docs/viewer.md.
    """

    def __init__(self, session: Session, host: str, port: int):
        self.session = session
        self.look, self.size = session.start(), FIRST_SIZE
        self._lock = threading.RLock()  # viser calls back from many threads
        with _silence():
            self.server = viser.ViserServer(host, port, label=f"nrw: {session.scene.resolve().name}", verbose=False)
        self.url = f"http://{'localhost' if host == '0.0.0.0' else host}:{self.server.get_port()}"
        self.renderer = Renderer(self._draw, self._show)
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)  # sharing is a public tunnel
        self._add_scene()
        self._add_controls()
        self._set_look(self.look)
        self.server.on_client_connect(self._welcome)
        self.server.on_client_disconnect(lambda client: self.renderer.forget(client.client_id))

    def stop(self) -> None:
        self.renderer.stop()
        with _silence():
            self.server.stop()

    # pictures

    def _draw(self, wanted: tuple[Viewpoint, Look, int], fine: bool) -> np.ndarray:
        viewpoint, look, size = wanted
        if not fine and self.session.model.device.type == "cpu":
            size = min(size, SMALL)
        return self.session.draw(viewpoint, look, size, fine=fine)

    def _show(self, client_id: int, wanted: tuple, picture: np.ndarray, fine: bool, seconds: float) -> None:
        client = self.server.get_clients().get(client_id)
        with self._lock:
            if client is None or self.look.mode == POINTS:
                return
            client.scene.set_background_image(picture, format="jpeg", jpeg_quality=90 if fine else 80)
            client.flush()
            height, width = picture.shape[:2]
            self._say(f"{width} × {height} pixels in {seconds:.2f} s")

    def _wish(self, client: viser.ClientHandle) -> None:
        """Ask for the client's picture of now."""
        if self.look.mode == POINTS:
            self.renderer.forget(client.client_id)
            client.scene.set_background_image(None)
        else:
            self.renderer.wish(client.client_id, (_viewpoint(client.camera), self.look, self.size))

    def _set_look(self, look: Look) -> None:
        self.look = look
        self._cloud.visible = look.mode == POINTS
        self._say(f"{len(self._cloud.points)} of {len(self.session.cloud)} points" if look.mode == POINTS else "…")
        outlines = zip(reversed(look.photos), reversed(OUTLINES), strict=True)
        self._chosen.content = "".join(
            f'<style>[data-photo="{photo}"] img {{outline: 3px solid {color}}}</style>' for photo, color in outlines
        )
        for client in self.server.get_clients().values():
            self._wish(client)

    def _say(self, detail: str) -> None:
        """What is shown, in two lines."""
        shares = ", ".join(f"{photo} {100 * share:.0f} %" for photo, share in self.look.weights.items())
        appearance = f" in the light of {shares}" if self.look.mode == "picture" else ""
        self._status.content = f"**{self.look.mode}**{appearance}  \n{detail}"

    # cameras

    def _welcome(self, client: viser.ClientHandle) -> None:
        self._go_to(client, self.look.photos[0])
        client.camera.on_update(lambda camera: self._wish(client))
        self._wish(client)

    def _go_to(self, client: viser.ClientHandle, photo: str) -> None:
        viewpoint, target = self.session.place(photo, client.camera.aspect)
        with client.atomic():
            client.camera.position = np.array(viewpoint.position)
            client.camera.look_at = target
            client.camera.up_direction = (0.0, 0.0, 1.0)
            client.camera.fov = viewpoint.fov

    # the scene

    def _add_scene(self) -> None:
        session, scene = self.session, self.server.scene
        chosen = thinned(len(session.cloud), BROWSER_POINTS)
        points = session.cloud.points[chosen]
        size = float(np.median(spacing(points))) if len(points) > 1 else FRUSTUM
        colors = session.cloud.colors[chosen]
        self._cloud = scene.add_point_cloud("/cloud", points, colors, point_size=size, precision="float32")
        self._cameras = scene.add_frame("/cameras", show_axes=False, visible=False)
        for photo in session.photos:
            camera = session.dataset.view(photo).camera
            aspect = camera.width / camera.height
            image = np.asarray(session.thumbnail(photo, 64))
            frustum = self._add_frustum(f"photo_{photo}", Viewpoint.of(camera, aspect), PHOTO_COLOR, image)
            frustum.on_click(lambda event, photo=photo: self._go_to(event.client, photo))
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
        size = gui.add_slider("Size at rest", *SIZES, step=64, initial_value=self.size, hint="Longer side, pixels.")
        size.on_update(lambda event: self._resize(event.target.value))
        cameras = gui.add_checkbox("Cameras", False, hint="The photos' places, blue; the key frames', orange.")
        cameras.on_update(lambda event: setattr(self._cameras, "visible", event.target.value))
        snapshot = gui.add_button("Snapshot", icon=viser.Icon.CAMERA)
        snapshot.on_click(self._reporting(self._snapshot))
        with gui.add_folder("Appearance"):
            self._blend = gui.add_slider("Blend", 0.0, 1.0, step=0.01, initial_value=0.0, hint="First to second.")
            self._blend.on_update(lambda event: self._change(blend=float(event.target.value)))
            self._click = gui.add_dropdown("A click sets", list(CLICKS.values()))
            thumbnails = gui.add_html("")
            self._chosen = gui.add_html("")
            with gui.add_folder("By number", expand_by_default=False):
                buttons = {photo: gui.add_button(photo) for photo in self.session.photos}
            for photo, button in buttons.items():
                button.on_click(lambda event, photo=photo: self._choose(event.client, photo))
            thumbnails.content = self._thumbnails(buttons)
        with gui.add_folder("Key frames"):
            self._seconds = gui.add_number("Seconds", SECONDS, min=0.1, max=600.0, step=0.1, hint="From the last one.")
            gui.add_button("Add key frame").on_click(self._reporting(self._add_keyframe))
            gui.add_button("Remove the last").on_click(self._reporting(self._remove_keyframe))
            self._name = gui.add_text("Name", "path")
            gui.add_button("Save path").on_click(self._reporting(self._save_path))
            self._recorded = gui.add_markdown("No key frame yet.")

    def _thumbnails(self, buttons: dict[str, viser.GuiButtonHandle]) -> str:
        """The photos, each the label of its button, which a click on it presses."""
        cells = []
        for photo, button in buttons.items():
            data = io.BytesIO()
            self.session.thumbnail(photo, 96).save(data, "JPEG", quality=75)
            source = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
            number = html.escape(photo)
            cells.append(
                f'<label for="{button._impl.uuid}" data-photo="{number}" title="{number}" style="cursor:pointer">'
                f'<img src="{source}" alt="photo {number}" style="width:100%;display:block;border-radius:2px"></label>'
            )
        grid = "display:grid;grid-template-columns:repeat(4,1fr);gap:6px;padding:5px 12px"
        grid += ";max-height:15em;overflow-y:auto"
        return f'<div style="{grid}">{"".join(cells)}</div>'

    def _change(self, **changes: object) -> None:
        with self._lock:
            self._set_look(replace(self.look, **changes))

    def _resize(self, size: int) -> None:
        self.size = size
        for client in self.server.get_clients().values():
            self._wish(client)

    def _choose(self, client: viser.ClientHandle, photo: str) -> None:
        """A photo was clicked: its appearance is shown at once, or its view."""
        if self._click.value == CLICKS["view"]:
            self._go_to(client, photo)
            return
        with self._lock:
            first, second = self.look.photos
            if self._click.value == CLICKS["first"]:
                look = replace(self.look, photos=(photo, second), blend=0.0)
            else:
                look = replace(self.look, photos=(first, photo), blend=1.0)
            self._set_look(look)
            self._blend.value = look.blend

    def _reporting(self, action: Callable[[viser.ClientHandle], str]) -> Callable[[viser.GuiEvent], None]:
        """A callback that does the action and tells the browser what it answers, or the user's error."""

        def callback(event: viser.GuiEvent) -> None:
            try:
                with self._lock:
                    title, body, color = "Done", action(event.client), None
            except UserError as error:
                title, body, color = "Not done", str(error), "red"
            event.client.add_notification(title, body, auto_close_seconds=8.0, color=color)

        return callback

    def _snapshot(self, client: viser.ClientHandle) -> str:
        if self.look.mode == POINTS:
            raise UserError("a snapshot is of a picture: show picture, colour, depth or labels")
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
        command = f"nrw video {self.session.scene} {path} {path.with_suffix('.mp4')}"
        self._list_keyframes()
        self._recorded.content += f"\n\nSaved. The video:\n\n```\n{command}\n```"
        logger.info("%s", command)
        return f"Saved as {path}"


def _silence() -> contextlib.AbstractContextManager:
    """For what viser prints when it starts and stops."""
    return contextlib.redirect_stdout(io.StringIO())


def _viewpoint(camera: viser.CameraHandle) -> Viewpoint:
    return Viewpoint(
        tuple(camera.position.tolist()), tuple(camera.wxyz.tolist()), float(camera.fov), float(camera.aspect)
    )
