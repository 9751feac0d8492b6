#!/bin/sh
# cpython.sh ARCHIVE BUILD_PYTHON OUT: cross-compile one CPython for the target, natively, and lay it out below OUT.
# Needs, besides cross.sh's TRIPLE and MARCH: TAG, PREFIX, SERIES, SUFFIX, CONFIGURE (extra arguments), STACK (bytes),
# MODULES (extension modules that must come out of it).
set -eu
archive=$1 build_python=$2 out=$3
# shellcheck source=images/files/build/cross.sh
. /b/cross.sh
mkdir -p /usr/src/python
tar -xf "$archive" -C /usr/src/python --strip-components=1
cd /usr/src/python

# sys.version says when it was compiled: here when it was released, or no two builds would be the same.
built=Modules/getbuildinfo.c
released=$(stat -c %Y Include/patchlevel.h)
for part in "DATE %b %e %Y" "TIME %H:%M:%S"; do
	grep -q "^#ifndef ${part%% *}$" $built || { echo "CPython $SERIES takes ${part%% *} from elsewhere: see $built" >&2; exit 1; }
	sed -i "/^#ifndef ${part%% *}$/i #define ${part%% *} \"$(date -u -d "@$released" "+${part#* }")\"" $built
done

export CONFIG_SITE=/b/config.site
export PKG_CONFIG_LIBDIR=/sysroot/usr/lib/pkgconfig:/sysroot/usr/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=/sysroot
export PATH="$build_python:$PATH" # 3.9 and 3.10 find it there, later ones are told
if [ -e setup.py ]; then # up to 3.11: modules are found by searching these, not through pkg-config
	export CPPFLAGS="-I/sysroot/usr/include -I/sysroot/usr/include/uuid" LDFLAGS="-L/sysroot/usr/lib"
fi
# musl's default thread stack of 128 KiB is too small for deep recursion in threads; 3.15 asks for the same by itself.
# _NODIST: for the interpreter itself, not for the extensions that users build.
export LDFLAGS_NODIST="-Wl,-z,stack-size=$STACK"
# --build must say musl: 3.11 takes SOABI's libc from it. Computed gotos are found by running a program, so they are stated.
# shellcheck disable=SC2086 # a list of arguments
./configure --build="$(uname -m)-build-linux-musl" --host="$TRIPLE" --prefix="$PREFIX" \
	--with-build-python="$build_python/python$SERIES" --disable-shared --with-ensurepip=no --enable-ipv6 \
	--enable-loadable-sqlite-extensions --with-computed-gotos CC=gcc CXX=g++ AR=ar RANLIB=ranlib READELF="$TRIPLE-readelf" STRIP=strip \
	$CONFIGURE >configure.log 2>&1 || { tail -n 60 configure.log; exit 1; }
make -s -j"$(nproc)" >make.log 2>&1 || { tail -n 80 make.log; exit 1; }
make -s install DESTDIR="$out" TESTSUBDIRS= >install.log 2>&1 || { tail -n 40 install.log; exit 1; }

library="$out$PREFIX/lib/python$SERIES$SUFFIX"
rm -rf "$library/test" "$library"/idlelib/idle_test "$library"/lib2to3/tests "$library"/unittest/test \
	"$library"/*/test "$library"/*/tests "$library/turtledemo" "$out$PREFIX/share/man"
rm -f "$library"/lib-dynload/_test*.so "$library"/lib-dynload/_ctypes_test*.so "$library"/lib-dynload/xx*.so
find "$out$PREFIX" \( -name '*.a' -o -name '*.pyc' \) -exec rm -f {} +
find "$out$PREFIX" -name __pycache__ -prune -exec rm -rf {} +
find "$out$PREFIX" -type f \( -name '*.so' -o -name "python$SERIES$SUFFIX" \) -exec strip --strip-unneeded {} +
missing=
for module in $MODULES; do
	set -- "$library"/lib-dynload/"$module".*.so
	[ -e "$1" ] || grep -q "^_*PyInit_$module\b\|\"$module\", *PyInit_" Modules/config.c 2>/dev/null || missing="$missing $module"
done
[ -z "$missing" ] || { echo "CPython $SERIES came out without:$missing" >&2; tail -n 60 make.log; exit 1; }
"$build_python/python" /b/scrub.py "$out" "$PREFIX"

ln -sf "python$SERIES$SUFFIX" "$out$PREFIX/bin/python3"
ln -sf python3 "$out$PREFIX/bin/python"
mkdir -p "$out/opt/python" "$out/usr/local/bin"
ln -s "$PREFIX" "$out/opt/python/$TAG"
ln -s "$PREFIX/bin/python$SERIES$SUFFIX" "$out/usr/local/bin/python$SERIES$SUFFIX"
ln -s "$PREFIX/bin/python$SERIES$SUFFIX" "$out/usr/local/bin/cpython$SERIES$SUFFIX"
cd / && rm -rf /usr/src/python
