//! Fibonacci's numbers by the definition: tiny recursive calls and nothing else.

fn fib(n: i32) -> i32 {
    if n < 2 {
        n
    } else {
        fib(n - 1) + fib(n - 2)
    }
}

#[no_mangle]
pub extern "C" fn run(n: i32) -> i32 {
    fib(n)
}
