"""The conversation core as plain values: no AWS, no HTTP, no clock of its own."""
