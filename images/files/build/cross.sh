#!/bin/sh
# Sourced by steps that compile for the target. Puts a folder first in PATH where gcc, g++, ar… are clang, lld and
# llvm aimed at the sysroot: CPython then records plain `gcc` in its sysconfig, which is what the finished image has.
# Needs TRIPLE, MARCH (flags Alpine's own gcc has built in) and the sysroot at /sysroot.
set -eu
cross=/tmp/cross/bin
mkdir -p "$cross"
gcc_dir=$(dirname "$(find "/sysroot/usr/lib/gcc/$TRIPLE" -name crtbegin.o | head -n 1)")
[ -n "$gcc_dir" ] || { echo "the sysroot has no gcc for $TRIPLE" >&2; exit 1; }

# gcc is lenient where clang is not; both must accept the same sources
lenient="-Wno-error=implicit-function-declaration -Wno-error=implicit-int -Wno-error=int-conversion -Wno-error=incompatible-function-pointer-types"
driver() { # driver NAME CLANG: -print-multiarch is empty, as Alpine's gcc answers
	cat >"$cross/$1" <<-END
		#!/bin/sh
		for arg; do case \$arg in -print-multiarch | --print-multiarch) echo; exit 0 ;; esac; done
		exec $2 --target=$TRIPLE --sysroot=/sysroot --gcc-install-dir=$gcc_dir --rtlib=libgcc -fuse-ld=lld \\
			$MARCH -Qunused-arguments -Wl,--as-needed $lenient "\$@"
	END
}
driver gcc clang
driver g++ clang++
ln -sf gcc "$cross/cc"
ln -sf g++ "$cross/c++"
for tool in ar ranlib nm strip readelf objcopy objdump; do
	cat >"$cross/$tool" <<-END
		#!/bin/sh
		exec llvm-$tool "\$@"
	END
done
ln -sf readelf "$cross/$TRIPLE-readelf" # CPython's configure refuses a plain one
chmod +x "$cross"/*
export PATH="$cross:$PATH"
