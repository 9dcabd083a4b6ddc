//! Breakers.
fn main() {}
