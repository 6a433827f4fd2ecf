"""How many cases run, and the table of what they showed: a few cases in every run of the tests, all with `--force`."""

from collections import Counter

import pytest

COUNTS = pytest.StashKey[dict[str, Counter]]()


def pytest_generate_tests(metafunc):
    """Give a test its seeds: FEW of its module, or FULL with `--force`."""
    if "seed" in metafunc.fixturenames:
        module, force = metafunc.module, metafunc.config.getoption("--force")
        metafunc.parametrize("seed", range(module.FULL if force else module.FEW))


@pytest.fixture
def count(request):
    """count(table, **numbers): adds to a row of the table that is printed at the end."""

    def add(row: str, **numbers: int) -> None:
        request.config.stash.setdefault(COUNTS, {}).setdefault(row, Counter()).update(numbers)

    return add


def pytest_terminal_summary(terminalreporter, config):
    for row, numbers in sorted(config.stash.get(COUNTS, {}).items()):
        terminalreporter.write_line(f"| {row} | {', '.join(f'{value} {name}' for name, value in numbers.items())} |")
