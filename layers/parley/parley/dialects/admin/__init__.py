"""What an operator writes and reads, as JSON."""
