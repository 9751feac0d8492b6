"""The crate of rust_ext, built by setuptools-rust."""
