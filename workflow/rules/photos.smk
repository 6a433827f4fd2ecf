rule photos:
    input:
        expand([FILES.photos_csv, FILES.upright_photos], scene=FROM_PHOTOS),
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
        folder=lambda wildcards: SCENES[wildcards.scene]["photos"],
        listing=lambda wildcards: listing(SCENES[wildcards.scene]["photos"]),
        settings=config["ingest"],
    message:
        "{wildcards.scene}: reading the photos"
    script:
        "../scripts/import_photos.py"
