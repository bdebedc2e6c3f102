//! Writes a file for each custom resource definition into a folder: `cargo xtask codegen`.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: crds FOLDER")?;
    for (name, definition) in mesh_rules::crd::definitions() {
        let text = mesh_yaml::write(&definition)?;
        let head = "# Made by `cargo xtask codegen` from mesh-rules; do not edit.\n";
        std::fs::write(folder.join(format!("{name}.yaml")), format!("{head}{text}"))?;
    }
    Ok(())
}
