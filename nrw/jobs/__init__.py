"""Jobs of the workflow: their `requests`, `records` of costs, an `estimate`, `messages` and the `stage_log`."""
