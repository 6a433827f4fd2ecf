# Snakemake's own report (--report) opens with it
report: "../report/workflow.rst"


rule report:
    input:
        expand("results/{scene}/report.html", scene=SCENES),
    message:
        "the report is written"


rule write_report:
    input:
        split="results/{scene}/aligned/split.csv",
        dataset="results/{scene}/dataset",
        models=expand(
            "results/{{scene}}/{stage}/config.json",
            stage=["appearance", "rerender", "finetune"],
        ),
        completion=completion,
        labels=labels,
        metrics="results/{scene}/evaluation/metrics.json",
        sheets="results/{scene}/evaluation/sheets",
        videos=lambda wildcards: films(wildcards.scene),
    output:
        report(
            "results/{scene}/report.html",
            caption="../report/report.rst",
            category="{scene}",
            labels={"result": "report"},
        ),
    log:
        "results/{scene}/logs/report.log",
    benchmark:
        "results/{scene}/benchmarks/report.tsv"
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
