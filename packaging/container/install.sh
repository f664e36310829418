#!/bin/sh
# Installs the wheels of a folder into a virtual environment without pip, and leaves out what a server never reads.
#
#   install.sh WHEELS TARGET
set -eu
wheels=$1 target=$2
python3 -m venv --without-pip "$target"
/tools/bin/pip --python "$target/bin/python" install -q --no-index --no-compile --find-links "$wheels" "$wheels"/llmos-*.whl \
  $(ls "$wheels"/psycopg*.whl 2>/dev/null)
site=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# pip fetches models of `pypi:` sources and nothing else; models in the image's volume come from `hf:`, `oci:` and `s3:`.
rm -rf "$site"/pip "$site"/pip-*.dist-info "$target"/bin/pip*
# Tests, stubs, headers and sources of other packages.
find "$site" -type d \( -name tests -o -name test -o -name include \) ! -path "$site/llmos/*" -prune -exec rm -rf {} +
find "$site" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.hpp' \) \
  ! -path "$site/llmos/*" -delete
rm -rf "$site"/phonenumbers/geodata "$site"/phonenumbers/carrierdata "$site"/phonenumbers/tzdata
cp health.py "$target/health.py"
# Where the root is read-only, nobody writes byte code. Its header has a hash of the source instead of a time, so that
# the same sources give the same bytes.
"$target/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" "$target/health.py" || true
