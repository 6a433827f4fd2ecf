"""Cutting work that is independent per photo into pieces that Snakemake scatters."""


def chunk(ids: list[str], item: str) -> list[str]:
    """The ids of one piece, named as Snakemake names it: `chunk(ids, "2-of-3")` is every third id from the second on.

    Interleaved, so that pieces cost alike.
    """
    number, _, count = item.partition("-of-")
    return ids[int(number) - 1 :: int(count)]
