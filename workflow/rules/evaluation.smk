rule evaluation:
    input:
        expand(
            "results/{scene}/evaluation/{output}",
            scene=SCENES,
            output=["metrics.json", "metrics.csv", "sheets"],
        ),
    message:
        "the validation photos are scored"


rule evaluate:
    input:
        dataset="results/{scene}/dataset",
        model="results/{scene}/finetune/model.safetensors",
        completion=completion,
    output:
        json="results/{scene}/evaluation/metrics.json",
        table=report(
            "results/{scene}/evaluation/metrics.csv",
            caption="../report/metrics.rst",
            category="{scene}",
            labels={"result": "metrics"},
        ),
        sheets=report(
            directory("results/{scene}/evaluation/sheets"),
            patterns=["{id}.png"],
            caption="../report/sheet.rst",
            category="{scene}",
            labels={"result": "render | labels | output | photo {id}"},
        ),
    log:
        "results/{scene}/logs/evaluation.log",
    benchmark:
        "results/{scene}/benchmarks/evaluation.tsv"
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
