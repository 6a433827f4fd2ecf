from nrw.jobs.records import Cost, costs

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def record(path, seconds, memory, cpu):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + f"{seconds}\t0:00:01\t{memory}\t0\t0\t0\t0\t0\t0\t{cpu}\n")


def test_jobs_of_a_rule_are_added_up_and_the_order_is_the_workflows(tmp_path):
    record(tmp_path / "film" / "joint.tsv", 3.5, 400, 2)
    record(tmp_path / "film" / "flythrough.tsv", 4.5, 500, 3)
    record(tmp_path / "import_photos.tsv", 2, 100, 1.5)
    assert costs(tmp_path) == [Cost("import_photos", 1, 2.0, 1.5, 100.0), Cost("film", 2, 8.0, 5.0, 500.0)]


def test_records_of_rules_that_have_another_name_now_come_last(tmp_path):
    """A scene made by an earlier version still shows all that it took."""
    record(tmp_path / "depths" / "1-of-1.tsv", 9, 300, 8)
    record(tmp_path / "fuse_depths.tsv", 2, 100, 1.5)
    assert [cost.rule for cost in costs(tmp_path)] == ["fuse_depths", "depths"]


def test_what_snakemake_could_not_measure_counts_as_nothing(tmp_path):
    record(tmp_path / "split_photos.tsv", 0.2, "NA", "NA")
    assert costs(tmp_path) == [Cost("split_photos", 1, 0.2, 0.0, 0.0)]


def test_a_scene_without_records_has_no_costs(tmp_path):
    assert costs(tmp_path) == []
