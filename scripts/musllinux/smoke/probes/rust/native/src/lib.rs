extern "C" {
    fn smoke_twice(n: i32) -> i32;
}

pub fn twice(n: i32) -> i32 {
    unsafe { smoke_twice(n) }
}

pub const TARGET: &str = env!("BUILT_FOR");
