#!/usr/bin/env bash
# A flow run as a job of Slurm: the command of the work pool in slurm/pool.json, whose worker runs on a submit host.
# It waits for the job and ends as it ends; when the run is cancelled, or this process is told to stop, so is the job.
# Options of sbatch of this site (partition, account, time, memory) stand in the file that APERTURA_SBATCH names, one a
# line; no request can bring any.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
options=()
if [[ -r "${APERTURA_SBATCH:-}" ]]; then
    mapfile -t options < <(grep -v '^[[:space:]]*\(#\|$\)' "$APERTURA_SBATCH")
fi
told="$(mktemp)"
job=""
stop() {
    job="$(head -n 1 "$told" | cut -d ';' -f 1)"
    [[ -z "$job" ]] || scancel "$job"
}
trap stop TERM INT
trap 'rm -f "$told"' EXIT
# the environment holds which run it is, the address of the server and how to get in: it goes with the job, unseen
sbatch --wait --parsable --export=ALL --job-name="apertura-${PREFECT__FLOW_RUN_ID:0:8}" "${options[@]}" "$here/run.sbatch" >"$told" &
waiting=$!
code=0
wait "$waiting" || code=$?
if kill -0 "$waiting" 2>/dev/null; then # a signal ended the wait, not the job
    code=0
    wait "$waiting" || code=$?
fi
exit "$code"
