#!/bin/sh
# rust-prefix.sh TOOLS ROOT PREFIX OUT: take rustc and cargo out of ROOT, where apk has unpacked them, and lay them out
# below OUT as PREFIX, with the loader and every library they need beside them in PREFIX/lib/private. Programs name that
# loader and, as DT_RPATH, that folder: they run on any system, older than theirs or without any of their libraries, and
# no wrapper stands before them (cargo and build scripts ask who started them). Nothing of ROOT is executed, so it may be
# of any architecture; patchelf is TOOLS', a root of the building machine's.
set -eu
tools=$1 root=$2 prefix=$3 out=$4
inside=/work$prefix # as patchelf sees it
home=$tools$inside
private=$home/lib/private
rm -rf "$tools/work"
mkdir -p "$home/bin" "$private" "$home/lib/rustlib"

patch_elf() { chroot "$tools" patchelf "$@"; }
is_elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }
interpreter() { readelf -lW "$1" | sed -n 's/.*Requesting program interpreter: \(.*\)\].*/\1/p'; }
needed() { readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

cp "$root/usr/bin/cargo" "$root/usr/bin/rustc" "$root/usr/bin/rustdoc" "$home/bin/"
# rustc takes the folder above the one that its driver lies in for its own
cp -L "$root"/usr/lib/librustc_driver-*.so "$home/lib/"
for libraries in "$root"/usr/lib/rustlib/*/lib; do
	target=${libraries%/lib}
	cp -a "$target" "$home/lib/rustlib/"
done
# a package keeps these once, in /usr/lib, and links to them from here
find "$home/lib/rustlib" -type l -name '*.so' | while read -r link; do
	file=$root/usr/lib/${link##*/}
	rm "$link"
	[ -e "$home/lib/${link##*/}" ] || cp "$file" "$home/lib/"
	ln -s "../../../${link##*/}" "$link"
done

programs=
for file in "$home"/bin/* "$home"/lib/rustlib/*/bin/*; do
	if [ -f "$file" ] && is_elf "$file"; then programs="$programs $file"; fi
done
find_library() { # find_library NAME: where ROOT has it
	for folder in lib lib64 usr/lib usr/lib/llvm*/lib; do
		for file in "$root"/$folder/"$1"; do
			if [ -e "$file" ]; then echo "$file"; return; fi
		done
	done
}
pending="$programs $(echo "$home"/lib/*.so)"
while [ -n "$pending" ]; do
	found=
	for file in $pending; do
		for name in $(needed "$file"); do
			[ ! -e "$home/lib/$name" ] && [ ! -e "$private/$name" ] || continue
			library=$(find_library "$name")
			[ -n "$library" ] || { echo "${file##*/} needs $name, which its packages do not bring" >&2; exit 1; }
			cp -L "$library" "$private/$name"
			found="$found $private/$name"
		done
	done
	pending=$found
done

for file in $programs; do
	loader=$(interpreter "$file")
	[ -n "$loader" ] || continue # a static one
	cp -L "$root$loader" "$private/"
	case $file in
	*/lib/rustlib/*) origin=../../.. ;;
	*) origin=../lib ;;
	esac
	# shellcheck disable=SC2016 # $ORIGIN is the loader's to expand
	patch_elf --set-interpreter "$prefix/lib/private/${loader##*/}" --force-rpath \
		--set-rpath '$ORIGIN/'"$origin"':$ORIGIN/'"$origin/private" "${file#"$tools"}"
done
# a library's own RUNPATH would come before the program's RPATH
for file in "$home"/lib/*.so "$private"/*; do
	if readelf -dW "$file" 2>/dev/null | grep -qE '\((RPATH|RUNPATH)\)'; then
		patch_elf --remove-rpath "${file#"$tools"}"
	fi
done
chmod -R u+w,a+rX "$home"
mkdir -p "$out${prefix%/*}"
rm -rf "$out$prefix"
mv "$home" "$out$prefix"
rm -rf "$tools/work"
