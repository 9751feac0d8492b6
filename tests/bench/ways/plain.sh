#!/bin/sh
# plain.sh ARCHIVE COMPILER: one CPython the ordinary way, by a compiler that makes programs for where it runs.
# Prints the seconds of each part; the images' own way is images/files/build/cpython.sh.
set -eu
archive=$1 compiler=$2
mkdir -p /usr/src/python
tar -xf "$archive" -C /usr/src/python --strip-components=1
cd /usr/src/python
part() { # part NAME COMMAND…
	name=$1
	shift
	begun=$(date +%s)
	"$@" >"$name.log" 2>&1 || { tail -n 40 "$name.log"; exit 1; }
	echo "part $name $(($(date +%s) - begun))"
}
part configure ./configure --prefix=/opt/plain --disable-shared --with-ensurepip=no CC="$compiler"
part make make -s -j"$(nproc)"
part install make -s install DESTDIR=/out TESTSUBDIRS=
