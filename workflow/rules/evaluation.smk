rule evaluation:
    input:
        expand([FILES.metrics, FILES.metrics_table, FILES.sheets], scene=SCENES),
    message:
        "the validation photos are scored"


rule evaluate:
    input:
        dataset=FILES.dataset,
        model=FILES.model("finetune"),
        completion=completion,
        detail=detail,
        photos=detailed_photos,
    output:
        json=FILES.metrics,
        table=report(
            FILES.metrics_table,
            caption="../report/metrics.rst",
            category="{scene}",
            labels={"result": "metrics"},
        ),
        sheets=report(
            directory(FILES.sheets),
            patterns=["{id}.png"],
            caption="../report/sheet.rst",
            category="{scene}",
            labels={"result": "render | labels | output | photo {id}"},
        ),
    log:
        FILES.log("evaluate"),
    benchmark:
        FILES.record("evaluate")
    threads: config["training"]["threads"]
    resources:
        **asks("evaluate"),
        gpu=GPU,
    params:
        settings=config["evaluation"],
        device=config["device"],
    message:
        "{wildcards.scene}: scoring the validation photos"
    script:
        "../scripts/evaluate.py"
