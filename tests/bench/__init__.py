"""``make bench``: speed against named peers, as ratios within one run."""
