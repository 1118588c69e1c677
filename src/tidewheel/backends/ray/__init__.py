"""Jobs on a Ray cluster, whose nodes need not share a disk with the process that submits them."""
