"""``make demo``: a disk is backed up while its guest writes, damaged, caught, pruned, and restored elsewhere."""
