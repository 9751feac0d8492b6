#!/bin/sh
# floor.sh SYMBOLS LIBC SONAME OUT COMPILER…: make the stub libc that the linker sees.
# It exports what the policy's oldest musl exports (SYMBOLS, one name a line) and the real LIBC still has: functions as
# one-byte symbols, data with their real sizes, weak ones weak. Configure checks for anything newer then fail, and the
# project's fallback is compiled. The loader is not touched; `-static` uses libc.a. (docs/floor.md)
set -eu
symbols=$1 libc=$2 soname=$3 out=$4
shift 4
work=$(mktemp -d)
# llvm-nm -P prints: name type value size (hex). Types: T W = function (W: weak), D B R = data, V = weak data.
llvm-nm -D --defined-only -P "$libc" >"$work/exports"
awk '
	NR == FNR { floor[$1]; next }
	{ sub(/@.*/, "", $1) }
	!($1 in floor) || seen[$1]++ { next }
	{ print ($2 == "W" || $2 == "V" ? ".weak " : ".globl ") $1 }
	$2 !~ /^[DBRV]$/ { text[$1]; next }
	{ # names of one object stay one object: a copy relocation of environ must move __environ with it
		names[$3] = names[$3] " " $1
		size[$1] = $4
		if (!($3 in room) || length($4) > length(room[$3]) || (length($4) == length(room[$3]) && $4 > room[$3])) room[$3] = $4
	}
	END {
		print ".text"
		for (name in text) print ".type " name ",%function\n" name ":\n.byte 0\n.size " name ",1"
		print ".bss"
		for (address in names) {
			print ".balign 16"
			count = split(names[address], alias, " ")
			for (i = 1; i <= count; i++) print ".type " alias[i] ",%object\n.size " alias[i] ",0x" size[alias[i]] "\n" alias[i] ":"
			print ".skip 0x" room[address]
		}
		print ".section .note.GNU-stack,\"\",%progbits"
	}
' "$symbols" "$work/exports" >"$work/stub.s"
[ "$(grep -c '%function' "$work/stub.s")" -gt 1000 ] || { echo "the stub libc for $soname is nearly empty: $libc" >&2; exit 1; }
mkdir -p "$(dirname "$out")"
"$@" -c -o "$work/stub.o" "$work/stub.s"
"$@" -shared -nostdlib -Wl,-soname,"$soname" -o "$out" "$work/stub.o"
rm -rf "$work"
