#!/usr/bin/env bash
# Builds functions/oci_event and pushes it to your registry; prints the two lines for terraform.auto.tfvars.
# usage: terraform/oci/push_function.sh REPOSITORY [TAG]     (REPOSITORY: see `terraform output function_repository`)
# Log in first: `podman login REGION.ocir.io` (docker works too); the token is asked for, never an argument.
set -euo pipefail

readonly REPOSITORY=${1:?usage: push_function.sh REPOSITORY [TAG]; see terraform output function_repository}
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../functions/oci_event" && pwd)
TAG=${2:-$(git -C "$SOURCE" rev-parse --short=12 HEAD)}
readonly SOURCE TAG

tool() {
  local name
  for name in podman docker; do
    if command -v "$name" >/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "push_function.sh: neither podman nor docker is here" >&2
  return 1
}

main() {
  local with image digest
  with=$(tool)
  image="$REPOSITORY:$TAG"
  "$with" build --platform linux/amd64 --tag "$image" "$SOURCE"
  "$with" push "$image"
  digest=$("$with" image inspect --format '{{index .RepoDigests 0}}' "$image")
  printf 'function_image        = "%s"\nfunction_image_digest = "%s"\n' "$image" "${digest##*@}"
}

main
