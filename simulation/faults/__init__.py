"""The whole exchange in one process on virtual time, from one seed, with faults; and an auditor beside it."""
