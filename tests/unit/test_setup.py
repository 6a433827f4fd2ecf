"""The first steps on a new machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "workflow" / "scripts" / "debian_packages.sh"

pytestmark = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="not Debian or Ubuntu")


def run(*packages, become=()):
    return subprocess.run(
        [*become, "sh", "-s", *packages], input=SCRIPT.read_text(), capture_output=True, text=True, cwd="/"
    )


def test_installed_packages_are_left_alone():
    ended = run("dpkg", "libc6")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
def test_without_the_rights_it_says_what_to_run():
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    ended = run("dpkg", "libsurely-not-there", become=nobody)
    assert ended.returncode == 1
    assert "needed and this user may not install them: libsurely-not-there" in ended.stdout
    assert "apt-get install --yes --no-install-recommends libsurely-not-there" in ended.stdout
