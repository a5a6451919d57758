#!/usr/bin/env bash
# ci/run.sh NAMESPACE [FILE]: start a run and wait for its end. Exit code 0: it succeeded; 1: it didn't, and its message is
# told; 3: it hasn't ended in TIMEOUT (30m). With the AppRun CLI: apprun submit --wait.
set -euo pipefail
namespace=${1:?give a namespace: ci/run.sh NAMESPACE [FILE]}
file=${2:-$(dirname "$0")/run.yaml}
run=$(kubectl create -n "$namespace" -f "$file" -o name)
echo "$run"
# A run is reconciling until it has ended or a person has to correct something.
if ! kubectl wait -n "$namespace" "$run" --for=condition=Reconciling=False --timeout="${TIMEOUT:-30m}" >/dev/null; then
  kubectl get -n "$namespace" "$run" -o wide >&2
  exit 3
fi
kubectl get -n "$namespace" "$run" -o jsonpath='{.status.phase}: {.status.message}{"\n"}{.status.output}{"\n"}'
phase=$(kubectl get -n "$namespace" "$run" -o jsonpath='{.status.phase}')
[ "$phase" = Succeeded ]
