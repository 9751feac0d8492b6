#!/bin/sh
# apk-scripts.sh PENDING: run, as the target architecture, what apk-pending.sh collected.
# This is the only step of an image's build that is emulated on a foreign machine.
set -eu
pending=$1
for script in "$pending"/*.post-install; do
	[ -e "$script" ] || continue
	name=${script##*/}
	name=${name%.post-install}
	version=${name##*-r}
	echo "post-install: $name"
	(cd / && "$script" "$version") || echo "warning: $name post-install exited $?" >&2 # as apk does: it goes on
done
for trigger in "$pending"/*.trigger; do
	[ -e "$trigger" ] || continue
	dirs=
	for dir in $(cat "${trigger%.trigger}.dirs"); do # unquoted: they are globs
		[ ! -d "$dir" ] || dirs="$dirs $dir"
	done
	echo "trigger: ${trigger##*/}"
	# shellcheck disable=SC2086 # a list of directories
	(cd / && "$trigger" $dirs) || echo "warning: ${trigger##*/} exited $?" >&2
done
