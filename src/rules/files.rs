//! Files with rules: those built in, and those below a directory.

use std::path::{Path, PathBuf};

#[derive(rust_embed::RustEmbed)]
#[folder = "rules"]
#[include = "*.yml"]
struct Pack;

/// The files of the built-in pack, by path, sorted.
pub fn builtin_files() -> Vec<(String, String)> {
    let mut paths: Vec<_> = Pack::iter().collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let file = Pack::get(&path)?;
            Some((format!("builtin/{path}"), String::from_utf8_lossy(&file.data).into_owned()))
        })
        .collect()
}

/// The rule files below a directory, or the file itself, sorted: `*.yml` and `*.yaml` but not `*.test.yml`.
pub fn files_below(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if path.is_dir() {
        let mut entries =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            if entry.is_dir() || is_rule_file(&entry.to_string_lossy()) {
                files.extend(files_below(&entry)?);
            }
        }
    } else {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
    }
    Ok(files)
}

/// Whether a file of this name holds rules: YAML, and not the tests of a rule.
pub fn is_rule_file(name: &str) -> bool {
    (name.ends_with(".yml") || name.ends_with(".yaml")) && !is_test_file(name)
}

/// Whether a file of this name holds the tests of a rule.
pub fn is_test_file(name: &str) -> bool {
    name.ends_with(".test.yml") || name.ends_with(".test.yaml")
}
