"""What the user wrote: names as typed on the command line, and values that YAML took for something else."""

import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from nrw.core.errors import UserError

KINDS = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    date: "a date",
    Mapping: "a mapping",
    list: "a list",
}


def as_typed(entries: Iterable[str], schema: Mapping) -> dict[str, str]:
    """The texts of `KEY=TEXT` entries of `--config` where the schema wants a text, as they were typed.

    Snakemake reads entries as YAML: of `photos=Trip #1` it leaves `Trip`, of `photos=2019_05` the number 201905.
    """
    pairs = (entry.partition("=") for entry in entries)
    return {key: text for key, _, text in pairs if schema["properties"].get(key, {}).get("type") == "string"}


def checked(value: Any, schema: Mapping, key: str = "") -> Any:
    """A copy of the user's values, with `~` in paths expanded; an empty section becomes one without keys.

    schema: of the value; {} if there is none. key: dotted name of the value.
    Raises UserError for a name or a text that YAML took for something else (`2019`, `yes`, `2019-05-01`): what was
    written is lost.
    """
    wanted = schema.get("type")
    if value is None and wanted == "object":
        return {}
    if wanted == "string" and not isinstance(value, str):
        raise UserError(f"{key}: a text is expected, but YAML reads this as {_kind(value)}. {_quotes(value)}")
    if isinstance(value, Mapping):
        return {name: checked(entry, _part(schema, name), _dotted(key, name)) for name, entry in value.items()}
    if isinstance(value, list):
        return [checked(entry, schema.get("items", {}), key) for entry in value]
    if isinstance(value, str) and schema.get("format") == "path":
        return os.path.expanduser(value)
    return value


def _part(schema: Mapping, name: Any) -> Mapping:
    """The schema of an entry of a mapping; {} if there is none."""
    others = schema.get("additionalProperties")
    return schema.get("properties", {}).get(name, others if isinstance(others, Mapping) else {})


def _dotted(key: str, name: Any) -> str:
    if not isinstance(name, str):
        where = f"{key}: a" if key else "A"
        raise UserError(f"{where} name is expected, but YAML reads this one as {_kind(name)}. {_quotes(name)}")
    return f"{key}.{name}" if key else name


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    kind = next((text for type_, text in KINDS.items() if isinstance(value, type_)), type(value).__name__)
    return f"{kind} ({value})"


def _quotes(value: Any) -> str:
    example = "NAME" if value is None or isinstance(value, Mapping | list) else value
    return f'Put what you mean into quotes, such as "{example}"; a folder may also be written ./{example}'
