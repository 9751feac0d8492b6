#!/bin/sh
# rust.sh OUT STD LIBRARIES: make the Rust that rust-prefix.sh has laid out below OUT the image's: std for TARGET out of
# STD, what static programs are linked with (from LIBRARIES, the target's /usr/lib), the commands, cargo's configuration.
# Needs PREFIX, TARGET, TRIPLE (gcc's), CFG and TIME64 (see rust-std.sh).
set -eu
out=$1 std=$2 libraries=$3
home=$out$PREFIX
# shellcheck disable=SC2153 # from the environment
target=$home/lib/rustlib/$TARGET/lib
rm -f "$target"/*.rlib "$target"/*.rmeta "$target"/*.so
mkdir -p "$target/self-contained"
cp "$std"/*.rlib "$target/"
# `-C target-feature=+crt-static` links these: the image's own, by the names that rustc looks for
gcc=$(dirname "$(find "$libraries/gcc/$TRIPLE" -name crtbegin.o | head -n 1)")
for name in crtbegin.o crtbeginS.o crtend.o crtendS.o; do ln -s "/usr/lib${gcc#"$libraries"}/$name" "$target/self-contained/"; done
ln -s "/usr/lib${gcc#"$libraries"}/libgcc_eh.a" "$target/self-contained/libunwind.a"
for name in crt1.o rcrt1.o crti.o crtn.o libc.a; do ln -s "/usr/lib/$name" "$target/self-contained/"; done

mkdir -p "$out/usr/local/bin" "$out/.cargo"
for name in cargo rustc rustdoc; do ln -s "$PREFIX/bin/$name" "$out/usr/local/bin/$name"; done

host= # rustc's own, where it is another than the target: build scripts and proc-macros are its programs
for folder in "$home"/lib/rustlib/*/lib; do
	name=${folder%/lib}
	name=${name##*/}
	[ "$name" = "$TARGET" ] || host=$name
done
{
	echo "# This image's Rust (docs/rust.md). Below every folder: a project's own .cargo/config.toml comes first."
	[ -z "$host" ] || printf '\n[build]\ntarget = "%s"\n' "$TARGET"
	printf '\n[target.%s]\nrustflags = [\n    "-Ctarget-feature=-crt-static", # or no cdylib can be made\n' "$TARGET"
	for name in $CFG; do printf '    "--cfg=%s",\n' "$name"; done
	echo ']'
	linker=lib/rustlib/$host/bin/ld
	if [ -n "$host" ] && [ -x "$home/$linker" ]; then
		printf '\n[target.%s]\nlinker = "%s"\n' "$host" "$PREFIX/$linker"
	fi
	if [ -n "$host$TIME64" ]; then printf '\n[env] # for build scripts; variables that are set already stay\n'; fi
	# time_t has 64 bits, as in C: the libc crate's
	for name in $TIME64; do printf '%s = "1"\n' "$name"; done
	if [ -n "$host" ]; then
		# else the crates cc and pkg-config take this for cross-compiling, with tools of other names or none
		under=$(echo "$TARGET" | tr - _)
		printf 'CC_%s = "gcc"\nCXX_%s = "g++"\nAR_%s = "ar"\nPKG_CONFIG_ALLOW_CROSS = "1"\n' "$under" "$under" "$under"
	fi
} >"$out/.cargo/config.toml"
