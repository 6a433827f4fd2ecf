"""Documentation of the configuration: config/README.md from the schema and the presets (`python -m nrw.config`)."""

import json

import yaml

from nrw.config.resolve import SCHEMA, complete_preset


def document() -> str:
    """Return the text of config/README.md: every key, its meaning, and its value in each preset."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    presets = {name: complete_preset(name) for name in ("draft", "standard", "paper")}
    lines = [
        "# Configuration",
        "",
        "Values in `config/config.yaml` (or another file: `--configfile`) and on the command line override the preset,",
        "and the preset overrides the defaults. An unknown key or an invalid value stops the run before it starts.",
        "The key `mvs.max_size` is written `mvs: {max_size: 480}` in the file, and",
        "`--config photos=FOLDER preset=standard 'mvs={max_size: 480}'` on the command line.",
        "",
        "`~` in paths is expanded; relative paths begin at the folder in which Snakemake runs. If there is no",
        "`config/config.yaml` in it, the one beside the `Snakefile` is read.",
        "",
        "Presets (`nrw/config/presets/`): `draft`, the defaults, for a laptop without a GPU; `standard` for one GPU;",
        "`paper` for comparison with the results of 2019.",
        "",
        "This page is generated from `nrw/config/schema.yaml`: `python -m nrw.config > config/README.md`.",
    ]

    def section(part: dict, values: list[dict], prefix: str, title: str) -> None:
        leaves = {key: entry for key, entry in part["properties"].items() if "default" in entry or "type" in entry}
        leaves = {key: entry for key, entry in leaves.items() if "properties" not in entry}
        lines.extend(["", f"## {title}", ""])
        if "description" in part:
            lines.extend([part["description"], ""])
        if leaves:
            lines.extend(["| key | meaning | draft | standard | paper |", "|---|---|---|---|---|"])
        for key, entry in leaves.items():
            choices = f" One of {', '.join(f'`{choice}`' for choice in entry['enum'])}." if "enum" in entry else ""
            shown = [_show(value.get(key)) for value in values]
            if len(set(shown)) == 1 and len(shown[0]) > 30:
                shown = [shown[0], "same", "same"]
            lines.append(f"| `{prefix}{key}` | {entry['description']}{choices} | {' | '.join(shown)} |")
        for key, entry in part["properties"].items():
            if "properties" in entry:
                section(entry, [value[key] for value in values], f"{prefix}{key}.", f"`{prefix}{key}`")

    section(schema, list(presets.values()), "", "Top level")
    return "\n".join(lines) + "\n"


def _show(value: object) -> str:
    return "–" if value is None else f"`{json.dumps(value)}`"
