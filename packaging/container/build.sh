#!/bin/sh
# Builds the images localhost/llmos-server and localhost/llmos-node, without a registry and without a Docker engine.
#
#   build.sh [server] [node]       by default both
#
# BUILD_FLAGS  more flags for buildah, such as --volume /etc/ssl/certs:/etc/ssl/certs:ro
# Storage is vfs and isolation chroot, so that it works in containers and in namespaces, too.
set -eu
cd "$(dirname "$0")/../.."
for tool in buildah mmdebstrap skopeo; do
  command -v "$tool" >/dev/null || { echo "$tool is missing. Install the tools: apt-get install buildah mmdebstrap podman runc skopeo" >&2; exit 1; }
done
buildah="buildah --storage-driver vfs"
base=localhost/llmos-base

if ! $buildah inspect --type image "$base" >/dev/null 2>&1; then
  echo "Making the base from Debian packages …"
  mkdir -p build/image
  # Packages that nobody asked for (perl among them), manuals and translations would be 100 MB.
  SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --variant=minbase \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --include=python3-minimal,libpython3-stdlib,libgomp1,libstdc++6,ca-certificates \
    bookworm build/image/base.tar
  container=$($buildah from scratch)
  $buildah add --quiet "$container" build/image/base.tar / >/dev/null
  $buildah config --cmd '["/bin/sh"]' "$container"
  $buildah commit --quiet --timestamp 0 --rm "$container" "$base" >/dev/null
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
for target in "${@:-server node}"; do
  for each in $target; do
    echo "Building llmos-$each …"
    $buildah bud --isolation chroot --network host --timestamp 0 --format docker --layers \
      --build-arg BASE="$base" --build-arg VERSION="$version" --build-arg REVISION="$revision" ${BUILD_FLAGS:-} \
      --file packaging/Containerfile --target "$each" --tag "localhost/llmos-$each" .
  done
done
