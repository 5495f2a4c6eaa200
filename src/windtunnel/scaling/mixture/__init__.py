"""Losses as a function of the mixture they were trained on: regressors, proposals, the best one."""
