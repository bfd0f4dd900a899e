#!/bin/sh
# Serve an application over HTTP on $PORT, for the Lambda Web Adapter.
#
#   run.sh [MODULE]     default: streaming.app
#
# The adapter starts this in place of the runtime's own bootstrap, so the layers' folders and the
# runtime's have to be named here.
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python${LAMBDA_RUNTIME_DIR:+:$LAMBDA_RUNTIME_DIR}${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m uvicorn --port "${PORT:-8080}" --log-level warning --no-access-log \
  --no-server-header "${1:-streaming.app}:app"
