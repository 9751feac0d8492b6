//! A Python extension without any crate: what a Rust extension takes from libc, the unwinder and the threads of std.

mod python;

use python::{guarded, Object};
use std::collections::BTreeMap;
use std::sync::{mpsc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn since_epoch(moment: SystemTime) -> (i64, i64) {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, i64::from(after.subsec_nanos())),
        Err(before) => (-(before.duration().as_secs() as i64), 0),
    }
}

/// (seconds, nanoseconds) of a path's last change.
pub unsafe extern "C" fn modified(_module: Object, path: Object) -> Object {
    guarded(|| {
        let metadata = std::fs::metadata(python::text(path)?).map_err(|error| error.to_string())?;
        let (seconds, nanoseconds) = since_epoch(metadata.modified().map_err(|error| error.to_string())?);
        Ok(python::tuple(&[python::integer(seconds), python::integer(nanoseconds)]))
    })
}

/// Seconds since the epoch.
pub unsafe extern "C" fn now(_module: Object, _unused: Object) -> Object {
    guarded(|| {
        let (seconds, nanoseconds) = since_epoch(SystemTime::now());
        Ok(python::float(seconds as f64 + nanoseconds as f64 / 1e9))
    })
}

fn timed(wait: impl FnOnce()) -> i64 {
    let start = Instant::now();
    wait();
    start.elapsed().as_nanos() as i64
}

/// Nanoseconds that waits of so many nanoseconds took, by name.
pub unsafe extern "C" fn waits(_module: Object, nanoseconds: Object) -> Object {
    guarded(|| {
        let wait = Duration::from_nanos(python::number(nanoseconds)? as u64);
        let mut took = BTreeMap::new();
        took.insert("sleep", timed(|| thread::sleep(wait)));
        took.insert("park", timed(|| thread::park_timeout(wait)));
        let (_sender, receiver) = mpsc::channel::<()>();
        took.insert("receive", timed(|| assert!(receiver.recv_timeout(wait).is_err())));
        let (mutex, condition) = (Mutex::new(()), Condvar::new());
        let guard = mutex.lock().map_err(|error| error.to_string())?;
        took.insert("condition", timed(|| drop(condition.wait_timeout_while(guard, wait, |_| true))));
        Ok(python::mapping(took.into_iter().map(|(name, value)| (name, python::integer(value)))))
    })
}

/// The sum of range(n), n a multiple of 4, in four threads.
pub unsafe extern "C" fn sum_in_threads(_module: Object, count: Object) -> Object {
    guarded(|| {
        let part = python::number(count)? / 4;
        let threads: Vec<_> =
            (0..4).map(|n| thread::spawn(move || (part * n..part * (n + 1)).sum::<i64>())).collect();
        let sums = threads.into_iter().map(|each| each.join().map_err(|_| "a thread panicked".to_string()));
        Ok(python::integer(sums.sum::<Result<i64, String>>()?))
    })
}

/// How many of four threads that panic are seen to, each with its own words.
pub unsafe extern "C" fn panics(_module: Object, _unused: Object) -> Object {
    guarded(|| {
        std::panic::set_hook(Box::new(|_| ()));
        let threads: Vec<_> = (0..4).map(|n| thread::spawn(move || panic!("number {n}"))).collect();
        let seen = threads.into_iter().enumerate().filter_map(|(n, each)| {
            let words = each.join().err()?.downcast::<String>().ok()?;
            (*words == format!("number {n}")).then_some(())
        });
        let count = seen.count() as i64;
        let _ = std::panic::take_hook();
        Ok(python::integer(count))
    })
}

/// The text, with something of Rust's.
pub unsafe extern "C" fn text(_module: Object, argument: Object) -> Object {
    guarded(|| Ok(python::string(&format!("{}, in Rust", python::text(argument)?))))
}

/// What CPython calls at import.
#[no_mangle]
pub unsafe extern "C" fn PyInit__rust() -> Object {
    python::module(
        c"_rust",
        &[
            (c"modified", modified, python::ONE_ARGUMENT),
            (c"now", now, python::NO_ARGUMENTS),
            (c"waits", waits, python::ONE_ARGUMENT),
            (c"sum_in_threads", sum_in_threads, python::ONE_ARGUMENT),
            (c"panics", panics, python::NO_ARGUMENTS),
            (c"text", text, python::ONE_ARGUMENT),
        ],
    )
}
