#!/bin/sh
# rust-std.sh OUT: compile Rust's standard library for TARGET from the sources in /tools, into OUT, a folder of
# rlibs. Upstream's own std cannot serve every image: on 32-bit musl its time_t is the one its libc crate defaults to,
# which is not the policy's. What comes out is checked by rust-check.sh.
# Needs PREFIX (a Rust that runs here), TARGET, TIME64 (variables that tell the libc crate that time_t has 64 bits),
# CFG (the same as --cfg).
# shellcheck source=images/files/build/sources.sh
. /b/sources.sh
out=$1
export PATH="$PREFIX/bin:$PATH" CARGO_HOME=/tmp/cargo
host=$(rustc -vV | sed -n 's/^host: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
sources=/tools/usr/src/rust
library=$sources/library
mkdir -p "$PREFIX/lib/rustlib/src" /tmp/std/src /tmp/std/.cargo
ln -sfn "$sources" "$PREFIX/lib/rustlib/src/rust"
if ! grep -q SYS_futex_time64 "$library/std/src/sys/pal/unix/futex.rs"; then
	chroot /tools patch -p1 -d "${sources#/tools}" </b/rust-std-futex.patch || {
		echo "this Rust waits in another way than the patch of its futex expects: see docs/rust.md, time_t" >&2
		exit 1
	}
fi

cd /tmp/std
printf '[package]\nname = "nothing"\nversion = "0.0.0"\nedition = "2021"\n' >Cargo.toml
echo '#![no_std]' >src/lib.rs
linker=$PREFIX/lib/rustlib/$host/bin/ld
[ ! -x "$linker" ] || printf '[target.%s]\nlinker = "%s"\n' "$host" "$linker" >.cargo/config.toml
if [ -d "$library/vendor" ]; then
	printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' "$library/vendor" \
		>>.cargo/config.toml
	export CARGO_NET_OFFLINE=true
else # cargo checks each against the sum in std's Cargo.lock, which came with the signed package
	[ -z "$CRATES_INDEX" ] ||
		printf '[source.crates-io]\nreplace-with = "index"\n[source.index]\nregistry = "sparse+%s/"\n' "$CRATES_INDEX" \
			>>.cargo/config.toml
	[ -z "${SSL_CERT_FILE:-}" ] || export CARGO_HTTP_CAINFO="$SSL_CERT_FILE"
fi
# As the Rust project has it: bitcode for users' LTO, and paths that say the release and not the place. (Unlike it, in
# cargo's usual number of units a crate: one alone takes twice the time.)
flags="-Cembed-bitcode=yes --remap-path-prefix=$sources=/rustc/$commit"
for name in $CFG; do flags="$flags --cfg=$name"; done
for name in $TIME64; do export "$name=1"; done
# projects that ask for panic = "abort" link this crate, which must be compiled so itself
cat >rustc <<-'END'
	#!/bin/sh
	case " $* " in *" --crate-name panic_abort "*) set -- "$@" -Cpanic=abort ;; esac
	exec "$@"
END
chmod +x rustc
RUSTC_WRAPPER=$PWD/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags CARGO_PROFILE_RELEASE_DEBUG=0 \
	cargo build --quiet --release --target "$TARGET" \
	-Z build-std=std,core,alloc,proc_macro,panic_abort,panic_unwind,test
mkdir -p "$out"
cp "target/$TARGET/release/deps"/*.rlib "$out/"
rm "$out"/libnothing-*.rlib
ls "$out"/libstd-*.rlib >/dev/null
cd / && rm -rf /tmp/std /tmp/cargo
