#!/bin/sh
# apk-pending.sh ROOT BASE OUT: collect what `apk --no-scripts` left undone in ROOT, compared with BASE (the root before).
# OUT gets the install scripts of new packages (<package>.pre-install, <package>.post-install), every trigger script
# (<package>.trigger) and, beside each trigger, the directories it watches (<package>.dirs).
set -eu
root=$1 base=$2 out=$3
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

database() { # apk 3 on a merged-usr root keeps it below /usr/lib
	for candidate in "$1/lib/apk/db" "$1/usr/lib/apk/db"; do
		if [ -e "$candidate/installed" ]; then echo "$candidate"; return; fi
	done
	echo "no apk database below $1" >&2
	exit 1
}

archive() { # apk 3 compresses it
	for candidate in "$1/scripts.tar" "$1/scripts.tar.gz"; do
		if [ -e "$candidate" ]; then echo "$candidate"; return; fi
	done
}

hex() { # hex Q1<base64>: X1<hex>, the same checksum
	value=${1#Q?}
	kind=${1%"$value"}
	printf 'X%s%s\n' "${kind#Q}" "$(printf %s "$value" | base64 -d | od -An -v -tx1 | tr -d ' \n')"
}

watched() { # watched CHECKSUM: the directories that the trigger with this checksum watches
	while read -r listed dirs || [ -n "$listed" ]; do
		if [ "$1" = "$listed" ] || [ "$1" = "$(hex "$listed")" ]; then echo "$dirs"; return; fi
	done <"$work/triggers"
}

before=$(database "$base")
db=$(database "$root")
known=$(archive "$before")
scripts=$(archive "$db")
[ -n "$scripts" ] || exit 0
mkdir "$work/scripts"
tar -xf "$scripts" -C "$work/scripts"
tar -tf "$scripts" >"$work/names"
if [ -n "$known" ]; then tar -tf "$known"; fi >"$work/known"
if [ -e "$db/triggers" ]; then cat "$db/triggers"; fi >"$work/triggers"

# Names are <package>-<version>.<checksum>.<kind>. apk 2 writes the checksum in base64 (Q1…), where it may hold a slash,
# apk 3 in hex (X1…); the list of triggers has base64 with both.
while read -r name; do
	kind=${name##*.} rest=${name%.*}
	package=${rest%.*} checksum=${rest##*.}
	case $kind in
	pre-install | post-install)
		grep -qxF "$name" "$work/known" || cp "$work/scripts/$name" "$out/$package.$kind"
		;;
	trigger)
		dirs=$(watched "$checksum")
		[ -n "$dirs" ] || continue
		cp "$work/scripts/$name" "$out/$package.trigger"
		echo "$dirs" >"$out/$package.dirs"
		;;
	esac
done <"$work/names"
chmod -R a+rX "$out"
chmod a+x "$out"/* 2>/dev/null || :
