#!/bin/sh
# apk-pending.sh ROOT BASE OUT: collect what `apk --no-scripts` left undone in ROOT, compared with BASE (the root before).
# OUT gets the post-install scripts of new packages (<package>.post-install), every trigger script
# (<package>.trigger) and, beside each trigger, the directories it watches (<package>.dirs).
set -eu
root=$1 base=$2 out=$3
mkdir -p "$out"

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

unpacked=$(mktemp -d)
db=$(database "$root")
scripts=$(archive "$db")
[ -n "$scripts" ] || exit 0
tar -xf "$scripts" -C "$unpacked"
before=$(archive "$(database "$base")")
known=$(mktemp)
[ -z "$before" ] || tar -tf "$before" >"$known"

# names are <package>-<version>.<checksum>.<kind>; the checksum is base64 and may hold dots' neighbours, never a dot
for script in "$unpacked"/*.post-install; do
	[ -e "$script" ] || continue
	name=${script##*/}
	grep -qxF "$name" "$known" && continue
	package=${name%.Q*}
	cp "$script" "$out/$package.post-install"
done
while read -r checksum dirs; do
	for script in "$unpacked"/*."$checksum".trigger; do
		[ -e "$script" ] || continue
		name=${script##*/}
		cp "$script" "$out/${name%.Q*}.trigger"
		echo "$dirs" >"$out/${name%.Q*}.dirs"
	done
done <"$db/triggers"
chmod -R a+rX "$out"
chmod +x "$out"/* 2>/dev/null || :
rm -rf "$unpacked" "$known"
