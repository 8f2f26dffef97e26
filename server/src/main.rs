//! dotted
fn main() {}
