# Snakemake's own report (--report) opens with it
report: "../report/workflow.rst"


rule report:
    input:
        expand(FILES.report, scene=SCENES),
    message:
        "the report is written"


rule write_report:
    input:
        split=FILES.split,
        dataset=FILES.dataset,
        models=[FILES.stage_config(stage) for stage in PHOTO_STAGES],
        completion=completion,
        labels=labels,
        metrics=FILES.metrics,
        sheets=FILES.sheets,
        videos=lambda wildcards: films(wildcards.scene),
    output:
        report(
            FILES.report,
            caption="../report/report.rst",
            category="{scene}",
            labels={"result": "report"},
        ),
    log:
        FILES.log("write_report"),
    benchmark:
        FILES.record("write_report")
    threads: 1
    resources:
        **asks("write_report"),
    params:
        # what the scene depends on, without the other scenes
        config=lambda wildcards: {
            **config,
            "scenes": {wildcards.scene: SCENES[wildcards.scene]},
        },
    message:
        "{wildcards.scene}: writing the report"
    script:
        "../scripts/write_report.py"
