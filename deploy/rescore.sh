#!/usr/bin/env bash
# Submits today's rescoring, once: ray job submit --submission-id rescore-<date>-<attempt> -- python jobs/rescore.py ...
#
#   deploy/rescore.sh --bundle s3://store/bundles/B --scans s3://scans/new/ --store s3://store/results
#
# Run it as often as you like, from as many places as you like. No lock is taken: the job server refuses an id that it
# knows, so of two callers one submits. The next attempt is submitted only when the former failed; what succeeded, runs
# or was stopped by hand is left alone. Exit code 0: submitted or nothing to do; 1: the job server cannot be used, or
# every attempt of the day failed.
#
# Settings, from the environment: RAY_API_SERVER_ADDRESS (http://127.0.0.1:8265), RESCORE_DAY (today, UTC),
# RESCORE_ATTEMPTS (3), RESCORE_JOB (jobs/rescore.py). On a cluster with authentication also RAY_AUTH_MODE=token.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export RAY_API_SERVER_ADDRESS=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}
day=${RESCORE_DAY:-$(date -u +%Y%m%d)}
attempts=${RESCORE_ATTEMPTS:-3}
job=${RESCORE_JOB:-jobs/rescore.py}

for ((attempt = 1; attempt <= attempts; attempt++)); do
  id=rescore-$day-$attempt
  if said=$(ray job submit --no-wait --submission-id "$id" --working-dir "$root" -- python "$job" "$@" 2>&1); then
    echo "$id: submitted"
    exit 0
  fi
  known=$(ray job status "$id" 2>&1) || true
  case $known in
    *"Job '$id' failed"*) ;;
    *"Job '$id' succeeded"*) echo "$id: has succeeded" && exit 0 ;;
    *"Job '$id' was stopped"*) echo "$id: was stopped by hand, not submitted again" && exit 0 ;;
    *"Status for job '$id'"*) echo "$id: is still running" && exit 0 ;;
    *) echo "$id: could not be submitted to $RAY_API_SERVER_ADDRESS: ${said##*$'\n'}" >&2 && exit 1 ;;
  esac
done
echo "$id: failed, and no attempt is left today; see: ray job logs $id" >&2
exit 1
