#!/bin/sh
# Prints the Python to build the environment with, or says in one sentence what this machine lacks.
# PYTHON names an interpreter of your own.
set -eu

usable() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=
if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" && python=$PYTHON
else
    for candidate in python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then
            python=$candidate
            break
        fi
    done
fi

missing=
packages=
need() {
    missing="${missing:+$missing, }$1"
    packages="${packages:+$packages }$2"
}

if [ -z "$python" ]; then
    if [ -n "${PYTHON:-}" ]; then
        need "a working Python 3.11 or later (PYTHON is '$PYTHON')" "python3 python3-venv python3-dev"
    elif command -v python3 >/dev/null 2>&1; then
        need "Python 3.11 or later ($(python3 -V 2>&1) is too old)" "python3.11 python3.11-venv python3.11-dev"
    else
        need "Python 3.11 or later" "python3 python3-venv python3-dev"
    fi
else
    # Debian splits the standard library: python3 alone has neither ensurepip nor the headers.
    # Its packages carry the minor version, since the interpreter found need not be the distribution's default.
    series=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need "Python's venv module" "$series-venv"
    "$python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))
' || need "Python's C headers" "$series-dev"
fi
compiler=
for candidate in "${CXX:-}" c++ g++ clang++; do
    # CXX may carry arguments or a wrapper ("ccache g++"): its first word is the program.
    if [ -n "$candidate" ] && command -v "${candidate%% *}" >/dev/null 2>&1; then
        compiler=$candidate
        break
    fi
done
[ -n "$compiler" ] || need "a C++ compiler" "build-essential"
command -v cmake >/dev/null 2>&1 || need "CMake" "cmake"

if [ -n "$missing" ]; then
    echo "portcullis: this machine lacks $missing; on Debian or Ubuntu: sudo apt-get install $packages" >&2
    exit 1
fi
command -v "$python"
