"""What README, documents, messages and report advise about settings and commands is accepted as it stands there."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser, parse_config

from nrw.config.resolve import every_key, resolve
from nrw.jobs.requests import COSTS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md", "resources/demo/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SHORT_TEXTS = [  # without commands of their own
    *(ROOT / "nrw" / "report" / "templates").iterdir(),
    *(ROOT / "workflow" / "report").iterdir(),
    *(ROOT / "config").glob("*.yaml"),
    *(ROOT / "profiles").glob("*/*.yaml"),
]
MODULES = sorted((ROOT / "nrw").rglob("*.py"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SETTING = re.compile(r"(\w+): (\S.*)", re.S)
KEYS = every_key()
SECTIONS = {key.split(".")[0] for key in KEYS if "." in key}
LEAVES = [key for key in KEYS if ("." in key or key not in SECTIONS) and key not in ("photos", "scenes")]
DOTTED = re.compile(rf"(?<![\w./])(?:{'|'.join(sorted(SECTIONS))})(?:\.[a-z]\w*)+(?![\w/]*[/(])")
FILES = {".csv", ".db", ".f32", ".html", ".i32", ".json", ".md", ".mp4", ".ply", ".py", ".smk", ".txt", ".u8", ".yaml"}
VALUE = r"\[\]|-?\d[\d.]*\d|\d|cpu|cuda|none|torch"
WITH_VALUE = re.compile(
    rf"(?<![\w.])({'|'.join(map(re.escape, LEAVES))})`?,? (?:for example )?(?:to )?`?({VALUE})(?![\w:]|\.\d| %)"
)
RULES = {
    name
    for file in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    for name in re.findall(r"^(?:rule|use rule \w+ as) (\w+)", file.read_text(encoding="utf-8"), re.M)
}


def prose(path):
    """The text of a file, without what Jinja fills in."""
    return re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", path.read_text(encoding="utf-8"), flags=re.S)


def inline(text):
    """The pieces of text between backticks, without those of fenced blocks."""
    return FENCE.sub("", text).split("`")[1::2]


def messages(module):
    """The texts in a module's code, without its docstrings; a value that is filled in is shown as {}."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {
        id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.value


def accepted(config, typed=()):
    """Complete a configuration that may lack scenes. Raises UserError where it is refused."""
    return resolve({"scenes": {"sample": {"photos": "photos"}}, **config}, typed)


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def commands(text):
    """Commands of Snakemake in a document, as argument lists."""
    lines = [line for language, block in FENCE.findall(text) if language == "sh" for line in block.splitlines()]
    lines += [f"snakemake {piece}" for piece in inline(text) if re.match(r"--(config|workflow-profile) ", piece)]
    for line in [*lines, *inline(text)]:
        for command in re.split(r" ; |; ", line):
            command = re.sub(r"^run (?=\w+)", "snakemake --cores all ", command)
            if command.startswith("snakemake "):
                yield shlex.split(command, comments=True)[1:]


def test_settings_in_the_documents_are_accepted():
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        blocks = [yaml.safe_load(block) for language, block in FENCE.findall(text) if language == "yaml"]
        pieces = [yaml.safe_load(piece) for piece in inline(text) if SETTING.fullmatch(piece) and "<<" not in piece]
        for config in [*blocks, *pieces]:
            assert isinstance(config, dict), f"{document}: {config}"
            if set(config) <= {*COSTS, "executor"}:  # of a profile
                continue
            accepted(config)
            found.append(config)
    assert {"mvs": {"max_size": 480}} in found and {"videos": {"edit": {"grass": "sidewalk"}}} in found
    assert any("aligned" in str(config) for config in found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_the_documents_are_accepted(document):
    parser = get_argument_parser()
    for command in commands(document.read_text(encoding="utf-8")):
        arguments = parser.parse_args(command)
        accepted(parse_config(arguments.config), arguments.config or ())
        for target in arguments.targets:
            assert target in RULES or target.startswith("results/"), command
        assert set(arguments.forcerun or ()) <= RULES, command


def test_the_commands_that_matter_most_are_among_those_tested():
    readme = list(commands((ROOT / "README.md").read_text(encoding="utf-8")))
    assert ["--cores", "all", "all", "--config", "photos=/path/to/folder"] in readme
    assert ["--unlock"] in readme and ["--config", "mvs={max_size: 480}"] in readme
    changing = list(commands((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    assert ["--cores", "all", "mvs", "--forcerun", "fuse_depths"] in changing


def test_keys_named_in_documents_and_messages_exist():
    texts = {path: [prose(path)] for path in [*DOCUMENTS, *SHORT_TEXTS]}
    texts |= {path: list(messages(path)) for path in MODULES}
    found = set()
    for path, parts in texts.items():
        for name in (name for part in parts for name in DOTTED.findall(part)):
            room, module, *_ = name.split(".")
            if (ROOT / "nrw" / room / f"{module}.py").exists() or Path(name).suffix in FILES:
                continue
            assert name in KEYS, f"{path}: {name}"
            found.add(name)
    assert found >= {"mvs.min_views", "sfm.max_features", "training.accumulate", "segmentation.ground"}


def test_values_advised_in_documents_and_messages_are_accepted():
    found = set()
    documents = [path for path in DOCUMENTS if path != ROOT / "config" / "README.md"]  # a table of meanings
    texts = [prose(path) for path in [*documents, *SHORT_TEXTS]]
    for text in [*texts, *(part for path in MODULES for part in messages(path))]:
        for key, value in WITH_VALUE.findall(text):
            accepted(nested(key, yaml.safe_load(value)))
            found.add((key, value))
    assert found >= {
        ("mvs.min_views", "2"), ("mvs.max_size", "480"), ("chunks", "1"), ("training.accumulate", "2"),
        ("segmentation.ground", "[]"), ("sfm.max_features", "16000"), ("segmentation.model", "none"),
    }  # fmt: skip
