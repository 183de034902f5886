"""What decides: commands come in, are journalled, applied, and answered with events."""
