//! Only here so that the build dependency's features count.
fn main() {
    // Otherwise every file of the package counts, and each fresh checkout would build all that depends on it again.
    println!("cargo::rerun-if-changed=build.rs");
}
