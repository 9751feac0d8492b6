use std::panic;
use std::thread;

fn main() {
    assert_eq!(macros::ten_times!(7), 70);
    assert_eq!(native::twice(21), 42);
    panic::set_hook(Box::new(|_| ()));
    let caught = thread::spawn(|| -> () { panic!("in a thread") }).join().expect_err("it panicked");
    assert_eq!(*caught.downcast::<&str>().expect("its words"), "in a thread");
    println!("{}", native::TARGET);
}
