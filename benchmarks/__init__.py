"""What is fast is measured here: each program checks its answer before it prints a number."""
