//! A class, an exception and a panic, through pyo3.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyclass]
struct Counter {
    #[pyo3(get)]
    count: u64,
}

#[pymethods]
impl Counter {
    #[new]
    fn new() -> Self {
        Counter { count: 0 }
    }

    fn add(&mut self, number: u64) -> PyResult<u64> {
        self.count = self.count.checked_add(number).ok_or_else(|| PyValueError::new_err("too much"))?;
        Ok(self.count)
    }
}

#[pyfunction]
fn panics() {
    panic!("as asked")
}

#[pymodule]
fn _rust(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Counter>()?;
    module.add_function(wrap_pyfunction!(panics, module)?)
}
