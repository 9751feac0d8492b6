#!/bin/sh
# apk-scripts.sh PENDING: run, as the target architecture, what apk-pending.sh collected.
# This is the only step of an image's build that is emulated on a foreign machine.
set -eu
pending=$1

warn() { echo "warning: $1 exited $2" >&2; } # as apk does: it goes on

for kind in pre-install post-install; do
	for script in "$pending"/*."$kind"; do
		[ -e "$script" ] || continue
		name=${script##*/}
		package=${name%."$kind"} # <name>-<version>-r<release>: scripts are told the last two
		version=${package%-r*}
		version=${version##*-}-r${package##*-r}
		echo "$kind: $package"
		(cd / && "$script" "$version") || warn "$name" $?
	done
done
for trigger in "$pending"/*.trigger; do
	[ -e "$trigger" ] || continue
	dirs=
	# shellcheck disable=SC2013 # words, each a glob
	for dir in $(cat "${trigger%.trigger}.dirs"); do
		[ ! -d "$dir" ] || dirs="$dirs $dir"
	done
	[ -n "$dirs" ] || continue
	echo "trigger: ${trigger##*/}"
	# shellcheck disable=SC2086 # a list of directories
	(cd / && "$trigger" $dirs) || warn "${trigger##*/}" $?
done
