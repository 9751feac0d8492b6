//! Compiles C with the image's compiler, as crates that bring C do (without the crate `cc`).

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (source, object, archive) = (out.join("c.c"), out.join("c.o"), out.join("libsmoke_native.a"));
    fs::write(&source, "int smoke_twice(int n) { return 2 * n; }\n").expect("OUT_DIR is writable");
    run(Command::new("gcc").args(["-O2", "-fPIC", "-c", "-o"]).arg(&object).arg(&source));
    run(Command::new("ar").arg("rcs").arg(&archive).arg(&object));
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=smoke_native");
    println!("cargo:rustc-env=BUILT_FOR={}", env::var("TARGET").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
}
