//! Only here so that the build dependency's features count.
fn main() {}
