//! Fuzzes `observation`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hither_proto::fuzz::run("observation", bytes));
