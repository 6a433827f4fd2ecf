rule photos:
    input:
        expand(
            [FILES.photos_csv, FILES.upright_photos, FILES.usable_photos],
            scene=FROM_PHOTOS,
        ),
    message:
        "the photos are read"


rule import_photos:
    output:
        table=report(
            FILES.photos_csv,
            caption="../report/photos.rst",
            category="{scene}",
            labels={"result": "photos and verdicts"},
        ),
        images=directory(FILES.upright_photos),
    log:
        FILES.log("import_photos"),
    benchmark:
        FILES.record("import_photos")
    wildcard_constraints:
        scene=any_of(FROM_PHOTOS),
    threads: 8
    resources:
        **asks("import_photos"),
    params:
        listing=listing,
        settings=config["ingest"],
    message:
        "{wildcards.scene}: reading the photos"
    script:
        "../scripts/import_photos.py"


# a rule of its own, because Snakemake deletes what a failed job has written, and the user needs the table then
rule check_photos:
    input:
        FILES.photos_csv,
    output:
        FILES.usable_photos,
    log:
        FILES.log("check_photos"),
    benchmark:
        FILES.record("check_photos")
    localrule: True
    resources:
        **asks("check_photos"),
    message:
        "{wildcards.scene}: are there enough photos?"
    script:
        "../scripts/check_photos.py"
