"""Runs a part of the work in a process of its own, which believes in a CUDA device, on a scene made here."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """The scenes and pictures are too small for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def guard(tmp_path_factory) -> Path:
    """The library that makes torch believe."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here: apt-get install g++")
    if torch.version.cuda is not None:
        pytest.skip("this torch is built with CUDA: the pretended device needs a CPU build")
    library = tmp_path_factory.mktemp("guard") / "guard.so"
    torch_libraries = Path(torch.__file__).parent / "lib"
    subprocess.run(
        [
            *(compiler, "-std=c++20", "-O1", "-shared", "-fPIC", HERE / "guard.cpp", "-o", library),
            *(f"-I{folder}" for folder in cpp_extension.include_paths()),
            *(f"-L{torch_libraries}", f"-Wl,-rpath,{torch_libraries}", "-lc10", "-ltorch_cpu"),
            f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
        ],
        check=True,
    )
    return library


@pytest.fixture(scope="session")
def on_gpu(guard) -> Callable[[str, Path], dict]:
    """on_gpu(part, folder): what the units of a part of `work.py` cost."""

    def run(part: str, folder: Path) -> dict:
        environment = {
            **os.environ,
            "LD_PRELOAD": str(guard),
            "PRETENDED_GPU_GUARD": str(guard),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
        }
        done = subprocess.run(
            [sys.executable, HERE / "work.py", part, folder], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-6000:]
        return json.loads((folder / f"{part}.json").read_text())

    return run
