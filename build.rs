//! The rules below `rules/` are built into the program: when one comes or goes, it is built again.

fn main() {
    println!("cargo:rerun-if-changed=rules");
}
