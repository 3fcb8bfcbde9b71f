"""What is remembered, and what one batch changes."""
