#!/bin/sh
# Sourced by every build step that reaches the network. Mirrors, proxies and a private CA come as secrets: they are
# in no layer, no history and no build argument. Sets apk_flags; exports proxy and CA settings for other programs.
set -eu

secrets=/run/secrets
if [ -f "$secrets/sources" ]; then
	# shellcheck source=/dev/null
	. "$secrets/sources" # APK_REPOSITORIES, http_proxy, …: plain assignments, written by the driver
	# either spelling is meant; the lower-case one is what everybody reads
	export http_proxy="${http_proxy:-${HTTP_PROXY:-}}" https_proxy="${https_proxy:-${HTTPS_PROXY:-}}"
	export no_proxy="${no_proxy:-${NO_PROXY:-}}"
fi
# Rust comes from another release than the rest: its steps name the variable that has that one's repositories.
eval "APK_REPOSITORIES=\${${REPOSITORIES:-APK_REPOSITORIES}:-}"
[ -n "${APK_REPOSITORIES:-}" ] || { echo "no apk repositories: the build needs its 'sources' secret" >&2; exit 1; }

# Alpine's own keys for every architecture, and the one that the sources bring: in memory, never in a layer.
keys=$(mktemp -d /dev/shm/keys.XXXXXX)
trap 'rm -rf "$keys"' EXIT
find /usr/share/apk/keys /etc/apk/keys -name '*.pub' -type f -exec cp {} "$keys/" \;
if [ -f "$secrets/apk-key" ]; then
	cp "$secrets/apk-key" "$keys/$APK_KEY_NAME"
fi

apk_flags="--no-cache --no-progress --repositories-file /dev/null --keys-dir $keys"
for repository in $APK_REPOSITORIES; do
	apk_flags="$apk_flags -X $repository"
done

if [ -f "$secrets/ca-bundle" ]; then
	export SSL_CERT_FILE="$secrets/ca-bundle"
fi
