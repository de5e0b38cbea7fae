"""The whole recipe end to end: corpora, towers, base, cold start, label-only SFT, RLVR, Table 1 and its report."""
