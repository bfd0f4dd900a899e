"""What an operator sees of a running process: log lines, spans and metrics.

It is ambient, as logging is: whoever has something to tell tells it here, and it finds its way to
the request or the turn during which it was told. Nothing here may fail a request, and nothing of
what people say, nor any secret, may come here.

One unit of work (a request, an event of a connection, a job, a turn) is one `Span` and leaves one
line, which is a log entry, a span for a collector and metrics in CloudWatch's embedded format at
once.
"""
