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
	# users and passwords that URLs cannot carry to every apk (fetch(3))
	if [ -n "${HTTP_AUTH:-}" ]; then export HTTP_AUTH; fi
	if [ -n "${HTTP_PROXY_AUTH:-}" ]; then export HTTP_PROXY_AUTH; fi
fi
[ -n "${APK_REPOSITORIES:-}" ] || { echo "no apk repositories: the build needs its 'sources' secret" >&2; exit 1; }

# In memory, never in a layer: Alpine's own keys for every architecture, the one that the sources bring, and the
# repositories. These may hold a password, so they are no arguments either: every user of the machine sees those.
memory=$(mktemp -d /dev/shm/apk.XXXXXX)
trap 'rm -rf "$memory"' EXIT
keys=$memory/keys
mkdir "$keys"
find /usr/share/apk/keys /etc/apk/keys -name '*.pub' -type f -exec cp {} "$keys/" \;
if [ -f "$secrets/apk-key" ]; then
	cp "$secrets/apk-key" "$keys/$APK_KEY_NAME"
fi
for repository in $APK_REPOSITORIES; do
	printf "%s\n" "$repository"
done >"$memory/repositories"

apk_flags="--no-cache --no-progress --repositories-file $memory/repositories --keys-dir $keys"

if [ -f "$secrets/ca-bundle" ]; then
	export SSL_CERT_FILE="$secrets/ca-bundle"
fi
