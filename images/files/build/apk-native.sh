#!/bin/sh
# apk-native.sh PACKAGE…: packages for a stage that runs on the build platform.
# shellcheck source=images/files/build/sources.sh
. /b/sources.sh
# shellcheck disable=SC2086 # a list of flags
apk $apk_flags add "$@"
