//! As much of CPython's C API as the module needs. Symbols are resolved when the interpreter loads it.

use std::ffi::{c_char, c_int, c_longlong, c_void, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut};

pub type Object = *mut c_void;
pub type Function = unsafe extern "C" fn(Object, Object) -> Object;

pub const NO_ARGUMENTS: c_int = 0x0004;
pub const ONE_ARGUMENT: c_int = 0x0008;
const SLOT_GIL: c_int = 4; // Py_mod_gil
const GIL_NOT_USED: *mut c_void = 1 as *mut c_void;

/// Words of a PyObject without and with the GIL: CPython fills them in itself.
#[cfg(not(free_threaded))]
type Head = [usize; 2];
#[cfg(all(free_threaded, target_pointer_width = "64"))]
type Head = [usize; 4];
#[cfg(all(free_threaded, target_pointer_width = "32"))]
type Head = [usize; 5];

#[repr(C)]
struct Definition {
    head: Head,
    init: *const c_void,
    index: isize,
    copy: *const c_void,
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    methods: *const Method,
    slots: *const Slot,
    traverse: *const c_void,
    clear: *const c_void,
    free: *const c_void,
}

#[repr(C)]
struct Method {
    name: *const c_char,
    function: Option<Function>,
    flags: c_int,
    doc: *const c_char,
}

#[repr(C)]
struct Slot {
    slot: c_int,
    value: *mut c_void,
}

extern "C" {
    static mut PyExc_RuntimeError: Object;
    fn PyModuleDef_Init(definition: *mut Definition) -> Object;
    fn PyErr_SetString(kind: Object, text: *const c_char);
    fn PyErr_Occurred() -> Object;
    fn PyErr_Clear();
    fn PyUnicode_AsUTF8AndSize(object: Object, size: *mut isize) -> *const c_char;
    fn PyUnicode_FromStringAndSize(text: *const c_char, size: isize) -> Object;
    fn PyLong_AsLongLong(object: Object) -> c_longlong;
    fn PyLong_FromLongLong(value: c_longlong) -> Object;
    fn PyFloat_FromDouble(value: f64) -> Object;
    fn PyTuple_New(size: isize) -> Object;
    fn PyTuple_SetItem(tuple: Object, index: isize, item: Object) -> c_int;
    fn PyDict_New() -> Object;
    fn PyDict_SetItem(dict: Object, key: Object, value: Object) -> c_int;
}

/// Run what may fail or panic: either becomes a RuntimeError.
pub fn guarded(body: impl FnOnce() -> Result<Object, String>) -> Object {
    let problem = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(object)) => return object,
        Ok(Err(words)) => words,
        Err(_) => "a panic".to_string(),
    };
    let words = format!("{problem}\0");
    unsafe { PyErr_SetString(PyExc_RuntimeError, words.as_ptr().cast()) };
    null_mut()
}

pub fn text<'a>(object: Object) -> Result<&'a str, String> {
    let mut size = 0;
    let start = unsafe { PyUnicode_AsUTF8AndSize(object, &mut size) };
    if start.is_null() {
        unsafe { PyErr_Clear() };
        return Err("not a str".to_string());
    }
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), size as usize) };
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

pub fn number(object: Object) -> Result<i64, String> {
    let value = unsafe { PyLong_AsLongLong(object) };
    if value == -1 && !unsafe { PyErr_Occurred() }.is_null() {
        unsafe { PyErr_Clear() };
        return Err("not an int".to_string());
    }
    Ok(value)
}

pub fn string(value: &str) -> Object {
    unsafe { PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as isize) }
}

pub fn integer(value: i64) -> Object {
    unsafe { PyLong_FromLongLong(value) }
}

pub fn float(value: f64) -> Object {
    unsafe { PyFloat_FromDouble(value) }
}

pub fn tuple(items: &[Object]) -> Object {
    let made = unsafe { PyTuple_New(items.len() as isize) };
    for (index, item) in items.iter().enumerate() {
        unsafe { PyTuple_SetItem(made, index as isize, *item) };
    }
    made
}

pub fn mapping<'a>(items: impl Iterator<Item = (&'a str, Object)>) -> Object {
    let made = unsafe { PyDict_New() };
    for (name, value) in items {
        unsafe { PyDict_SetItem(made, string(name), value) };
    }
    made
}

/// A module of these functions, initialised in phases. It is asked for once a process, and stays.
pub unsafe fn module(name: &'static CStr, functions: &[(&'static CStr, Function, c_int)]) -> Object {
    let method = |name: *const c_char, function, flags| Method { name, function, flags, doc: null() };
    let mut methods: Vec<Method> =
        functions.iter().map(|(name, function, flags)| method(name.as_ptr(), Some(*function), *flags)).collect();
    methods.push(method(null(), None, 0));
    let mut slots = vec![Slot { slot: 0, value: null_mut() }];
    if cfg!(free_threaded) {
        slots.insert(0, Slot { slot: SLOT_GIL, value: GIL_NOT_USED });
    }
    PyModuleDef_Init(Box::leak(Box::new(Definition {
        head: Head::default(),
        init: null(),
        index: 0,
        copy: null(),
        name: name.as_ptr(),
        doc: null(),
        size: 0,
        methods: methods.leak().as_ptr(),
        slots: slots.leak().as_ptr(),
        traverse: null(),
        clear: null(),
        free: null(),
    })))
}
