#!/bin/sh
# Serve the consultant's application as run.sh serves that of the other streaming routes.
exec "$LAMBDA_TASK_ROOT/streaming/run.sh" streaming.consultant_app
