"""Studies: one scenario under many parameters and seeds, a row of a table for each run."""
