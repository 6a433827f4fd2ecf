"""Stage 2, COLMAP structure from motion: `features`, `pairs`, `matching`, `reconstruction`, `upright`, `summary`."""
