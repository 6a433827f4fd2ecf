"""Where the viewer may listen; tests/browser/test_viewer.py has the server itself."""

import socket

import pytest
from tiny_scene import run

from nrw.core.errors import UserError
from nrw.viewer import address
from nrw.viewer.address import free_port, url


@pytest.fixture
def taken():
    """A port of 127.0.0.1 that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("192.0.2.7", "this machine does not have that address"),  # reserved for examples, nobody's
        ("no-such-machine.invalid", "there is no such address"),
        ("256.1.1.1", "there is no such address"),
        ("x" * 70, "there is no such address"),
    ],
)
def test_an_address_that_is_not_ours_is_refused_at_once(host, message):
    with pytest.raises(UserError, match=f"--host {host}: {message}") as error:
        free_port(host, None)
    assert "--host 127.0.0.1" in str(error.value)


def test_a_port_that_was_asked_for_and_is_taken_is_refused(taken):
    with pytest.raises(UserError, match=f"port {taken} is in use"):
        free_port("127.0.0.1", taken)


def test_without_a_port_the_next_free_one_is_used(taken, monkeypatch):
    monkeypatch.setattr(address, "FIRST_PORT", taken)
    assert taken < free_port("127.0.0.1", None) < taken + address.PORTS
    monkeypatch.setattr(address, "PORTS", 1)
    with pytest.raises(UserError, match=f"ports {taken} to {taken} are in use"):
        free_port("127.0.0.1", None)


def test_a_free_port_and_any_port_are_left_as_they_are(taken):
    assert free_port("127.0.0.1", 0) == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert free_port("127.0.0.1", free) == free


def test_the_command_says_so_before_the_scene_is_opened(tmp_path, taken):
    pytest.importorskip("viser")
    assert "does not have that address" in run("view", tmp_path / "none", "--host", "192.0.2.7", code=1)
    assert f"port {taken} is in use" in run("view", tmp_path / "none", "--port", taken, code=1)


def test_the_url_can_be_opened():
    assert url("127.0.0.1", 8080) == "http://127.0.0.1:8080"
    assert url("0.0.0.0", 8080) == "http://localhost:8080"
    assert url("::1", 8080) == "http://[::1]:8080"
