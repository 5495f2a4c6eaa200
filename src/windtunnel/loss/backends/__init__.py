"""Ways to carry out the one cross-entropy that `loss.linear_cross_entropy` describes."""
