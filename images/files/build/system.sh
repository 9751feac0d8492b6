#!/bin/sh
# system.sh ROOT: what turns an Alpine root with packages into the image's system. Runs natively; nothing of ROOT is executed.
# Needs LOADER (musl's file name in /lib) and ENTRY (the wrapper of a 32-bit image, or empty).
set -eu
root=$1
# the floor: links see the stub, `musllinux-floor off` brings back the image's own libc
mkdir -p "$root/usr/lib/musllinux/newest"
ln -sf "/lib/$LOADER" "$root/usr/lib/musllinux/newest/libc.so"
ln -sf /usr/lib/musllinux/floor/libc.so "$root/usr/lib/libc.so"
# the entrypoint's wrapper
mkdir -p "$root/etc/musllinux"
printf %s "${ENTRY:+$ENTRY
}" >"$root/etc/musllinux/entry"
# root's login shell is bash, as users of the pypa images expect (chsh fails on 3.12)
sed -i '/^root:/s#:[^:]*$#:/bin/bash#' "$root/etc/passwd"
# package managers' leftovers differ from build to build and serve nobody
rm -rf "$root"/var/cache/apk/* "$root"/var/log/* "$root"/tmp/* "$root"/usr/share/man "$root"/usr/share/doc
find "$root" -xdev \( -name '*.pyc' -o -name '*.apk-new' \) -exec rm -f {} +
