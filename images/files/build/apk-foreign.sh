#!/bin/sh
# apk-foreign.sh ROOT ARCH PACKAGE…: unpack packages of another architecture below ROOT with the native apk.
# Their scripts are not run (they need that architecture): apk-scripts.sh does that later, where it can.
# shellcheck source=images/files/build/sources.sh
. /b/sources.sh
root=$1 arch=$2
shift 2
mkdir -p "$root"
new=
[ -e "$root/lib/apk/db/installed" ] || [ -e "$root/usr/lib/apk/db/installed" ] || new=--initdb
# shellcheck disable=SC2086 # lists of flags
apk $apk_flags --arch "$arch" --root "$root" $new --no-scripts add "$@"
