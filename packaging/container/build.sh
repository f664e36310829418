#!/bin/sh
# Builds the images localhost/llmos-server and localhost/llmos-node, without a registry and without a Docker engine.
#
#   build.sh [server] [node]       by default both
#
# PYTHON       writes the bill of materials, dist/llmos-*.cdx.json: needs cyclonedx; by default .venv/bin/python
# BUILD_FLAGS  more flags for buildah, such as --volume /etc/ssl/certs:/etc/ssl/certs:ro
# Storage is vfs and isolation chroot, so that it works in containers and in namespaces, too.
set -eu
cd "$(dirname "$0")/../.."
for tool in buildah mmdebstrap skopeo; do
  command -v "$tool" >/dev/null || { echo "$tool is missing. Install the tools: apt-get install buildah mmdebstrap podman runc skopeo" >&2; exit 1; }
done
buildah="buildah --storage-driver vfs"

# base_of NAME VARIANT PACKAGES: the name of an image with these packages. Others give another one.
base_of() {
  echo "localhost/$1:$(printf %s "$2 $3" | cksum | cut -d ' ' -f 1)"
}

# make_base IMAGE VARIANT PACKAGES: an image of Debian packages, without manuals, translations and what is only recommended.
make_base() {
  $buildah inspect --type image "$1" >/dev/null 2>&1 && return
  echo "Making $1 from Debian packages …"
  mkdir -p build/image
  SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --variant="$2" --include="$3" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    bookworm build/image/base.tar >build/image/base.log 2>&1 || { tail -5 build/image/base.log >&2; exit 1; }
  container=$($buildah from scratch)
  $buildah add --quiet "$container" build/image/base.tar / >/dev/null
  $buildah config --cmd '["/bin/sh"]' "$container"
  $buildah commit --quiet --timestamp 0 --rm "$container" "$1" >/dev/null
  rm build/image/base.tar
}
packages=usr-is-merged,tzdata,python3-minimal,libpython3-stdlib,libgomp1,libstdc++6,ca-certificates
base=$(base_of llmos-base essential "$packages")
build_base=$(base_of llmos-build-base minbase "$packages")
make_base "$base" essential "$packages"
make_base "$build_base" minbase "$packages"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
for target in "${@:-server node}"; do
  for each in $target; do
    echo "Building llmos-$each …"
    $buildah bud --isolation chroot --network host --timestamp 0 --format docker --layers \
      --build-arg BASE="$base" --build-arg BUILD_BASE="$build_base" \
      --build-arg VERSION="$version" --build-arg REVISION="$revision" ${BUILD_FLAGS:-} \
      --file packaging/Containerfile --target "$each" --tag "localhost/llmos-$each" .
    container=$($buildah from "localhost/llmos-$each")
    "${PYTHON:-.venv/bin/python}" scripts/image_sbom.py "$($buildah mount "$container")" "dist/llmos-$each.cdx.json"
    $buildah rm "$container" >/dev/null
  done
done
