"""An extension with pyo3, built by maturin."""
