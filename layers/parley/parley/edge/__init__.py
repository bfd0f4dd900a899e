"""Between the wire and the dialects: authentication, limits, errors, streaming, Lambda's entry."""
