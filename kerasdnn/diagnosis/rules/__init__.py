"""Rules, one file for each family: pure functions from `Evidence` to findings."""
