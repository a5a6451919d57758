#!/usr/bin/env bash
# ci/clean-up.sh NAMESPACE: remove finished runs of earlier revisions, and code that neither an App nor a run uses any more.
# What Git has stays: the run of the present revision, which would be made again, and the App's ConfigMap.
set -euo pipefail
namespace=${1:?give a namespace: ci/clean-up.sh NAMESPACE}
overlay=$(dirname "$0")/../overlays/production
present=$(sed -n -E 's|^ *orders.example.com/revision: "(.*)"|\1|p' "$overlay/run/kustomization.yaml")
kubectl get apprun -n "$namespace" -l "orders.example.com/revision,orders.example.com/revision!=$present" \
  -o jsonpath='{range .items[*]}{.metadata.name} {.status.finishedAt}{"\n"}{end}' |
  while read -r run finished; do
    [ -z "$finished" ] || kubectl delete apprun -n "$namespace" "$run"
  done
used=$(kubectl get app,apprun -n "$namespace" \
  -o jsonpath='{range .items[*]}{.spec.source.configMap.name}{"\n"}{.spec.app.source.configMap.name}{"\n"}{.status.app.source.configMap.name}{"\n"}{end}')
kubectl get configmap -n "$namespace" -l apprun.dev/code -o name |
  while read -r code; do
    grep -qxF "${code#configmap/}" <<<"$used" || kubectl delete -n "$namespace" "$code"
  done
