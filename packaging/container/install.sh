#!/bin/sh
# Installs the wheels of a folder into a virtual environment without pip, and leaves out what a server never reads.
#
#   install.sh WHEELS TARGET
set -eu
wheels=$1 target=$2
python3 -m venv --without-pip "$target"
# Everything that `pip wheel` has found to be needed, and so without asking again what is.
/tools/bin/pip --python "$target/bin/python" install -q --no-deps --no-index --no-compile "$wheels"/*.whl
site=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# pip fetches the files of `pypi:` sources, and an image takes models from elsewhere. The Hub's client, with what it
# alone needs, is what tokenizers would download with; LLMOS has its own. Nobody looks for places of telephone numbers,
# or at colored source code.
for each in pip huggingface_hub hf_xet fsspec httpx2 httpcore2 filelock tqdm truststore; do
  # Ray imports it.
  if [ "$each" = filelock ] && [ -e "$site/ray" ]; then continue; fi
  rm -rf "$site/$each" "$site/$each"-*.dist-info
done
rm -rf "$target"/bin/pip* "$site"/pygments/lexers
rm -rf "$site"/phonenumbers/geodata "$site"/phonenumbers/carrierdata "$site"/phonenumbers/tzdata
# Tests, stubs, headers and sources of other packages, and parts of them for other purposes.
rm -rf "$site"/numpy/f2py "$site"/numpy/distutils "$site"/sqlalchemy/testing
rm -rf "$site"/sqlalchemy/dialects/mssql "$site"/sqlalchemy/dialects/mysql "$site"/sqlalchemy/dialects/oracle
find "$site" -type d \( -name tests -o -name test -o -name include \) ! -path "$site/llmos/*" -prune -exec rm -rf {} +
find "$site" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.hpp' \) \
  ! -path "$site/llmos/*" -delete
# Libraries that auditwheel has patched must stay as they are.
find "$site" -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +
cp health.py "$target/health.py"
# Where the root is read-only, nobody writes byte code. Its header has a hash of the source instead of a time, so that
# the same sources give the same bytes.
"$target/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" "$target/health.py"
