#!/bin/sh
# build-python.sh ARCHIVE OUT: the smallest Python that can cross-build its own series. It runs on the build platform,
# is made once per X.Y and shared by every architecture's build.
set -eu
archive=$1 out=$2
mkdir -p /usr/src/python
tar -xf "$archive" -C /usr/src/python --strip-components=1
cd /usr/src/python
# It needs no module that a library or a test is behind. One line a module: 3.12 and later read it as makesetup does.
cat >Modules/Setup.local <<-'END'
	*disabled*
	_asyncio _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _crypt _ctypes _ctypes_test
	_curses _curses_panel _dbm _decimal _elementtree _gdbm _hashlib _interpchannels _interpqueues _interpreters _lsprof
	_lzma _multibytecodec _queue _remote_debugging _sqlite3 _ssl _testbuffer _testcapi _testclinic _testimportmultiple
	_testinternalcapi _testmultiphase _tkinter _uuid _xxsubinterpreters _xxtestfuzz _zoneinfo audioop cmath mmap nis
	ossaudiodev pyexpat readline resource spwd syslog termios xxlimited xxlimited_35
END
# -O0: compiling it costs more than anything it will ever do. No test modules, no docstrings, no pip.
./configure --without-ensurepip --without-doc-strings --disable-test-modules OPT="-DNDEBUG -O0" >configure.log 2>&1 ||
	{ tail -n 40 configure.log; exit 1; }
make -s -j"$(nproc)" >make.log 2>&1 || { tail -n 60 make.log; exit 1; }
# CPython runs from its build tree as well as from an installation, and installing byte-compiles for half a minute.
rm -rf Lib/test Lib/idlelib Lib/tkinter Lib/turtledemo
mkdir -p "$out/Modules"
cp -a Lib python pybuilddir.txt pyconfig.h "$out/"
cp -a Modules/Setup.local "$out/Modules/" # the landmark by which it knows that it is a build tree
modules=$(cat pybuilddir.txt)
mkdir -p "$out/$modules"
cp -aL "$modules"/. "$out/$modules/"
"$out/python" -c 'import zlib, hashlib, json, zipfile' # what installing wheels takes
# What calls it by its name: configure of 3.9 and 3.10 looks for python3.X in PATH. Byte-compiling the installed library
# is left out, since images hold no .pyc.
cat >"$out/python$("$out/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" <<-'END'
	#!/bin/sh
	for arg; do case $arg in */compileall.py | compileall) exit 0 ;; esac; done
	exec "${0%/*}/python" "$@"
END
chmod +x "$out"/python*
cd / && rm -rf /usr/src/python
