"""Extensions in Rust and in C, side by side in one wheel: both ask the same of libc and must hear the same."""
