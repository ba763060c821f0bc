"""Which of these texts should be labelled next? Rounds on disk: choose, label by hand, choose again.

A round is one call of `annotate.annotate`: it reads the labels that the source has (`candidates`) and those that were
written into the files of earlier rounds (`rounds`), trains a model on them (`adviser`), computes what the strategy
reads (`evidence`), chooses among the texts without a label, says why of each, and measures whether another round is
still worth it (`stopping`).
"""
