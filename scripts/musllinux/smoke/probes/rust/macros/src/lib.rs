//! Runs inside rustc: a thread, a panic and the environment work there too.

use proc_macro::TokenStream;

/// `ten_times!(n)`: n times ten, counted by a thread of the macro.
#[proc_macro]
pub fn ten_times(input: TokenStream) -> TokenStream {
    let number: u64 = input.to_string().trim().parse().expect("a number");
    assert!(std::panic::catch_unwind(|| panic!("of the macro")).is_err());
    let counted = std::thread::spawn(move || (0..10).map(|_| number).sum::<u64>()).join().expect("a thread");
    counted.to_string().parse().expect("tokens")
}
