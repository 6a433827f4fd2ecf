"""Jobs of the workflow.

Their `requests`, `records` of costs, an `estimate`, `messages`, the `stage_log`, the
`endings` of those that fail, and the `gpus` that each has for itself.
"""
