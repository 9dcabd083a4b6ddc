//! `cargo fuzz run hints --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_fuzz::targets::hints::run(bytes));
