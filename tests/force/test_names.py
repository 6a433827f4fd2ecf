"""Folders of any name, of photos and to work in: the first stage goes through, and a name is only a name.

Odd names of photos go through every stage in tests/workflow: those of the tiny run are of this kind.
"""

import os

from force.runs import Run
from photo_folder import noise, odd_names

from nrw.core.folder import SOURCE
from nrw.core.io import read_csv, read_json

FULL, FEW = len(odd_names(0)), 1


def test_folders_of_any_name(tmp_path, count, seed):
    number = (seed + 2) % FULL  # first one that a shell would run
    name = os.fsdecode(odd_names(number)[number])
    refused = "{" in name or name != os.fsencode(name).decode("utf-8", "replace")  # Snakemake cannot work there
    work = tmp_path / ("work" if refused else name)
    photos = work / name
    photos.mkdir(parents=True)
    for picture in range(3):
        noise(picture, 480, 360).save(photos / f"{picture}.jpg")
    before = set(tmp_path.rglob("*"))
    run = Run(work, "--cores", "1", "photos", "--config", f"photos={name}")
    assert run.wait(120) == 0, run.printed
    assert "Traceback" not in run.printed
    (results,) = (work / "results").iterdir()
    assert [row["verdict"] for row in read_csv(results / "photos" / "photos.csv")] == ["ok"] * 3
    assert read_json(results / SOURCE) == {"photos": os.fsencode(photos).decode("utf-8", "backslashreplace")}
    made = {path.relative_to(work).parts[0] for path in set(tmp_path.rglob("*")) - before}
    assert made == {"results", ".snakemake", run.output.name}
    again = Run(work, "--cores", "1", "photos", "--config", f"photos={name}")
    assert again.wait(120) == 0 and "Nothing to be done" in again.printed, again.printed
    count("names of folders", folders=1)
