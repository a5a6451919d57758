#!/usr/bin/env bash
# ci/release.sh REVISION: write a revision into the run's name and label. Commit and push the result; Flux or Argo CD, or
# `kubectl apply --server-side -k overlays/production`, then start that revision's run.
set -euo pipefail
revision=${1:?give a revision: ci/release.sh "$(git rev-parse --short HEAD)"}
if ! [[ $revision =~ ^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$ ]]; then
  echo "ci/release.sh: $revision can't be the end of a name: take lower-case letters, digits and dashes, at most 22" >&2
  exit 2
fi
file=$(dirname "$0")/../overlays/production/run/kustomization.yaml
sed -i -E "s|^nameSuffix: .*|nameSuffix: \"-$revision\"|; s|^( *orders.example.com/revision:) .*|\1 \"$revision\"|" "$file"
