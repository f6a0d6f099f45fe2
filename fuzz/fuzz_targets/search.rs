#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kd_fuzz::body("search", bytes));
