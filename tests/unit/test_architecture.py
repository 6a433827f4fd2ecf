"""The house keeps its order: imports run downwards, modules and functions stay short."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = [  # from the ground; docs/architecture.md says what each room is for
    {"core"},
    {"config", "geometry"},
    {"photos", "sfm", "segmentation", "mvs"},
    {"framebuffers"},
    {"dataset", "jobs"},
    {"models"},
    {"training", "detail"},
    {"scene"},
    {"evaluation", "videos"},
    {"report", "viewer", "preflight"},
    {"cli"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
LOOSE = {"__init__", "cli"}
MODULES = sorted((ROOT / "nrw").rglob("*.py"))
MAX_MODULE, MAX_FUNCTION = 400, 80  # lines


def room_of(module: Path) -> str:
    first = module.relative_to(ROOT / "nrw").parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of what is imported from nrw, inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nrw":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] == "nrw"}
    return names


def test_every_folder_has_a_floor_and_no_module_lies_loose():
    assert {room_of(module) for module in MODULES} == {*FLOOR_OF, "__init__"}
    assert {module.stem for module in MODULES if module.parent == ROOT / "nrw"} == LOOSE


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(ROOT).as_posix())
def test_a_room_imports_from_itself_and_from_the_floors_below(module):
    room = room_of(module)
    for name in imported(ast.parse(module.read_text(encoding="utf-8"))):
        other = name.split(".")[1]
        assert other == room or FLOOR_OF[other] < FLOOR_OF[room], f"{module}: {name}"


def test_the_library_does_not_know_the_workflow():
    for module in MODULES:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "snakemake" for name in names), module


@pytest.mark.parametrize("room", sorted(set(FLOOR_OF) - {"cli"}))
def test_a_rooms_docstring_names_its_modules(room):
    folder = ROOT / "nrw" / room
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    missing = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    missing = {name for name in missing if not re.search(rf"`{name}[`.]", docstring)}
    assert not missing


def test_modules_and_functions_are_short():
    for module in MODULES:
        text = module.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MAX_MODULE, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION, f"{module}: {node.name}"


def test_tests_mirror_the_rooms():
    folders = {
        path.name for path in (ROOT / "tests" / "unit").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert folders <= {*FLOOR_OF, "benchmarks", "resources"}
    for room in folders & set(FLOOR_OF):
        modules = {path.stem for path in (ROOT / "nrw" / room).glob("*.py")}
        tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "unit" / room).glob("test_*.py")}
        assert tested <= modules, room
