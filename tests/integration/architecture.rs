//! The map in `src/lib.rs` is true: a room names only rooms with a smaller number.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn levels() -> BTreeMap<String, u32> {
    let map = std::fs::read_to_string("src/lib.rs").unwrap();
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | "));
    rows.filter_map(|row| {
        let (level, rest) = row.split_once(" | [`")?;
        Some((rest.split_once("`]")?.0.to_owned(), level.parse().ok()?))
    })
    .collect()
}

fn rust_files(path: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn imports_fall_one_way() {
    let levels = levels();
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for file in
        files.iter().filter(|file| !["src/lib.rs", "src/main.rs"].map(Path::new).contains(&file.as_path()))
    {
        let room =
            file.strip_prefix("src").unwrap().components().next().unwrap().as_os_str().to_string_lossy();
        let room = room.trim_end_matches(".rs");
        let level = *levels.get(room).unwrap_or_else(|| panic!("{room} is not on the map in src/lib.rs"));
        // What a room's own tests use is not a part of it.
        let text = std::fs::read_to_string(file).unwrap();
        let is_test = file.file_stem().is_some_and(|stem| stem == "tests")
            || file.parent().is_some_and(|p| p.ends_with("tests"));
        let code = if is_test { "" } else { text.split("#[cfg(test)]").next().unwrap_or_default() };
        for (at, _) in code.match_indices("crate::") {
            let name: String =
                code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name != room && levels.get(&name).is_some_and(|other| *other >= level) {
                wrong.push(format!(
                    "{} (level {level}) names {name} (level {})",
                    file.display(),
                    levels[&name]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(levels.len() > 10, "the map was not found: {levels:?}");
}
