#!/bin/sh
# Sourced by every build step that reaches the network. Mirrors, proxies and a private CA come as secrets: they are
# in no layer, no history and no build argument. Sets apk_flags; exports proxy and CA settings for other programs.
# REPOSITORIES names the variable of the secret that lists the step's repositories: APK_REPOSITORIES, the image's own, or
# RUST_REPOSITORIES, those of the Alpine release that Rust comes from.
set -eu

secrets=/run/secrets
if [ -f "$secrets/sources" ]; then
	# shellcheck source=/dev/null
	. "$secrets/sources" # plain assignments, written by the driver (scripts/musllinux/context.py)
	# either spelling is meant; the lower-case one is what everybody reads
	export http_proxy="${http_proxy:-${HTTP_PROXY:-}}" https_proxy="${https_proxy:-${HTTPS_PROXY:-}}"
	export no_proxy="${no_proxy:-${NO_PROXY:-}}"
	# the mirror's user and password, where URLs cannot carry them to every apk (fetch(3))
	if [ -n "${HTTP_AUTH:-}" ]; then export HTTP_AUTH; fi
fi
# The proxy's likewise. Others than apk decode a URL's password and get what the user wrote.
apk() (
	if [ -n "${APK_PROXY_AUTH:-}" ]; then
		export HTTP_PROXY_AUTH="$APK_PROXY_AUTH" http_proxy="${APK_HTTP_PROXY:-}" https_proxy="${APK_HTTPS_PROXY:-}"
	fi
	exec apk "$@"
)
eval "repositories=\${${REPOSITORIES:-APK_REPOSITORIES}:-}"
[ -n "$repositories" ] || { echo "no apk repositories: the build needs its 'sources' secret" >&2; exit 1; }

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
for repository in $repositories; do
	printf "%s\n" "$repository"
done >"$memory/repositories"

apk_flags="--no-cache --no-progress --repositories-file $memory/repositories --keys-dir $keys"

if [ -f "$secrets/ca-bundle" ]; then
	export SSL_CERT_FILE="$secrets/ca-bundle"
fi
