#!/bin/sh
# rust-check.sh SYMBOLS STD: std (a folder of rlibs) needs nothing of libc but what the policy's oldest musl exports
# (SYMBOLS, one name a line), and its time_t is the policy's. Needs BITS and TIME_T: of a pointer and of time_t.
set -eu
symbols=$1 std=$2
cd "$(mktemp -d)"
# What the rlibs need and do not have themselves. Weak names are asked for at run time and may be absent; the unwinder is
# libgcc's; the allocator's entries (…___rustc…) are made by rustc when it links, tables (.TOC. on ppc64le) by the linker.
llvm-nm -P "$std"/*.rlib 2>/dev/null | awk 'NF >= 2 && $2 != "U" && $2 != "w" && $2 != "v" { print $1 }' | sort -u >defined
llvm-nm -P "$std"/*.rlib 2>/dev/null | awk '$2 == "U" { print $1 }' | sort -u >needed
if [ ! -s defined ] || [ ! -s needed ]; then echo "no symbols in $std" >&2; exit 1; fi
grep -vE '^(_Unwind_|__aeabi_unwind_|__gnu_unwind_|_R.*___rustc|_GLOBAL_OFFSET_TABLE_$|\.TOC\.$)' needed | sort -u | comm -23 - defined >outside
sort -u "$symbols" | comm -23 outside - >missing
if [ -s missing ]; then
	echo "std needs what the oldest musl of this policy does not have: $(tr '\n' ' ' <missing)" >&2
	exit 1
fi
# the clock, which std always asks for, has another name where time_t has 64 bits on a 32-bit architecture
found=$BITS
if [ "$BITS" = 32 ] && grep -q '^__clock_gettime64$' outside; then found=64; fi
[ "$found" = "$TIME_T" ] || { echo "std came out with $found bits of time_t, the policy has $TIME_T" >&2; exit 1; }
