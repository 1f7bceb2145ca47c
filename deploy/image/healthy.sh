#!/usr/bin/env bash
# Tells whether a part of Airflow is well: healthy.sh PART. The health checks of docker-compose.yaml; `airflow jobs check`
# says the same, but starts a whole Airflow each time, which costs seconds of CPU.
set -euo pipefail

readonly API=${AIRFLOW__CORE__EXECUTION_API_SERVER_URL%/execution/}

get() { curl --fail --silent --show-error --max-time 8 "$1"; }

reported() {
  get "$API/api/v2/monitor/health" \
    | python -c 'import json, sys; sys.exit(json.load(sys.stdin)[sys.argv[1]]["status"] != "healthy")' "$1"
}

case "${1:-}" in
  api-server) get "$API/api/v2/version" ;;
  scheduler) get "http://localhost:${AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT:-8974}/health" ;;
  dag-processor) reported dag_processor ;;
  triggerer) reported triggerer ;;
  # Without Airflow's own app: it is not needed to ask over the queue, and takes seconds to load.
  celery-worker) CELERY_BROKER_URL=$AIRFLOW__CELERY__BROKER_URL celery inspect ping --destination "celery@$HOSTNAME" ;;
  edge-worker) kill -0 "$(cat "${2:?the file of its process id}")" && get "${AIRFLOW__EDGE__API_URL%/rpcapi}/health" ;;
  *) echo "usage: healthy.sh PART" >&2 && exit 2 ;;
esac
