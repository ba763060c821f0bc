"""What a training run is for. A module of its own: readers of results need the words, not what runs are made of."""

TRIAL, PROXY, PART = "trial", "proxy", "part"
"""A proxy is a row of the comparison, a part of a cross-fit (or the like) is not."""
TUNE, READER = "tune", "reader"
"""Of the search: a run of a suggestion, and what stands for all of them where signals are planned; never run."""
REFIT = "refit"
"""The best configuration's run on train and validation together."""
