"""Use cases. They know ports and domain values; they know no dialect, no HTTP and no AWS."""
