"""What jobs ask for (`requests`), took (`records`) and will take (`estimate`), and say (`messages`, `stage_log`)."""
