"""A Hugging Face hub of one model on this machine, and a cache of its own for each test."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"
MODEL = "someone/some-model"
NOBODY = "http://127.0.0.1:9"  # nothing listens on the port `discard`


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder as MODEL; yields the hub's address and the list of what it was asked for, which grows."""
    asked: list[str] = []
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlparse(self.path).path
            asked.append(path)
            name = path.removeprefix(f"/{MODEL}/resolve/{SHA}/")
            if path in (f"/api/models/{MODEL}/revision/main", f"/api/models/{MODEL}/revision/v2"):
                siblings = [{"rfilename": name} for name in files]
                self.answer(json.dumps({"id": MODEL, "sha": SHA, "siblings": siblings}).encode())
            elif path == f"/api/models/{MODEL}/tree/{SHA}":
                tree = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
                self.answer(json.dumps(tree).encode())
            elif name in files:
                self.answer(files[name], ETag=f'"{hashlib.sha1(files[name]).hexdigest()}"')
            else:
                self.answer(b"{}", 404)

        do_HEAD = do_GET  # noqa: N815

        def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "X-Repo-Commit": SHA, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def use(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path, offline: bool = False) -> None:
    """Make huggingface_hub use this hub and this cache."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
