#!/bin/sh
# Say in one line what this machine lacks to build LLMOS, before anything starts: check_requirements.sh [PYTHON]
python=${1:-python3}
packages=

lacks() { packages="$packages $1"; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "This machine lacks Python 3.11 or newer ($python is ${found:=$(version_of "$python")}${found:-missing})." \
        "Install one, and name it if it isn't python3: make PYTHON=python3.12" >&2
    exit 1
fi
# Debian names the packages of a Python that isn't its default after the version.
name=python3
[ "$(version_of "$python")" = "$(version_of python3)" ] || name=python$(version_of "$python")
"$python" -c 'import ensurepip, venv' 2>/dev/null || lacks "$name-venv"
"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || lacks "$name-dev"
command -v "${CXX:-c++}" >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || lacks g++
command -v make >/dev/null 2>&1 || lacks make
[ -z "$packages" ] || {
    echo "This machine lacks$packages. On Debian or Ubuntu: sudo apt-get install$packages" >&2
    exit 1
}
