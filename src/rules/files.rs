//! Files with rules: those built in, and those below a directory.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fault::{Place, RuleError};

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

/// Most bytes of a file with rules. All public rules together are smaller.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Files with rules, and what could not be read on the way to them.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, in the order in which they are to be read: as named, and sorted within a directory.
    pub files: Vec<PathBuf>,
    /// What was left out, and why.
    pub faults: Vec<RuleError>,
}

/// Finds the rule files below directories: `*.yml` and `*.yaml` but not `*.test.yml`. A path that is no directory is
/// taken as it is.
///
/// Names that begin with a dot are passed over, links are followed, and a file is found once, by whichever way. The
/// error is for a path that is not there; anything wrong below it is a fault, and the rest goes on.
pub fn find(paths: &[PathBuf]) -> io::Result<Found> {
    let mut walk = Walk::default();
    for path in paths {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if path.metadata().map_err(named)?.is_dir() {
            walk.directory(path, &mut Vec::new());
        } else {
            walk.file(path);
        }
    }
    Ok(walk.found)
}

/// The text of a file with rules.
pub fn read(path: &Path) -> Result<String, RuleError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, format!("a file that can be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(path, format!("at most {} MiB in a file with rules", MAX_FILE_BYTES >> 20)));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(path: &Path, expected: String) -> RuleError {
    let place = Place { file: path.display().to_string(), line: 0 };
    RuleError { place, key: String::new(), expected }
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Files and directories that were seen, by where they really are.
    seen: HashSet<PathBuf>,
}

impl Walk {
    /// Files below a directory; `above` are the directories that it is in.
    fn directory(&mut self, path: &Path, above: &mut Vec<PathBuf>) {
        let entries = path.canonicalize().and_then(|real| {
            let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
            Ok((real, entries.collect::<io::Result<Vec<_>>>()?))
        });
        let (real, mut entries) = match entries {
            Ok(entries) => entries,
            Err(error) => return self.fault(path, format!("a directory that can be read: {error}")),
        };
        if above.contains(&real) {
            return self.fault(path, "a directory that does not lead back to itself".to_owned());
        }
        if !self.seen.insert(real.clone()) {
            return;
        }
        above.push(real);
        entries.sort();
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') {
                self.entry(&entry, is_rule_file(&name), above);
            }
        }
        above.pop();
    }

    fn entry(&mut self, path: &Path, is_rule: bool, above: &mut Vec<PathBuf>) {
        match path.metadata() {
            Ok(kind) if kind.is_dir() => self.directory(path, above),
            _ if !is_rule => {}
            Ok(kind) if kind.is_file() => self.file(path),
            // Who opens a pipe waits for somebody to write into it.
            Ok(_) => self.fault(path, "a file, not a pipe, socket or device".to_owned()),
            Err(error) => self.fault(path, format!("a file that can be read: {error}")),
        }
    }

    fn file(&mut self, path: &Path) {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.seen.insert(real) {
            self.found.files.push(path.to_owned());
        }
    }

    fn fault(&mut self, path: &Path, expected: String) {
        self.found.faults.push(unreadable(path, expected));
    }
}

/// Whether a file of this name holds rules: YAML, and not the tests of a rule.
pub fn is_rule_file(name: &str) -> bool {
    (name.ends_with(".yml") || name.ends_with(".yaml")) && !is_test_file(name)
}

/// Whether a file of this name holds the tests of a rule.
pub fn is_test_file(name: &str) -> bool {
    name.ends_with(".test.yml") || name.ends_with(".test.yaml")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, at(name)).unwrap();
        std::fs::create_dir_all(at("deep/er")).unwrap();
        for name in ["good.yml", "deep/er/good.yaml", "good.test.yml", ".hidden.yml", "notes.txt"] {
            std::fs::write(at(name), "").unwrap();
        }
        link(".", "loop");
        link("..", "deep/up");
        link("circle.yml", "circle.yml");
        link("nowhere", "dangling.yml");
        link("nowhere", "dangling.txt");
        link("good.yml", "same.yml");
        link("deep/er", "shortcut");
        assert!(std::process::Command::new("mkfifo").arg(at("pipe.yml")).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.yml")).unwrap();
        let found = find(&[directory.path().to_owned(), at("good.yml")]).unwrap();
        let names = |paths: Vec<&Path>| -> Vec<String> {
            paths
                .iter()
                .map(|path| path.strip_prefix(directory.path()).unwrap().display().to_string())
                .collect()
        };
        let files = found.files.iter().map(PathBuf::as_path).collect();
        assert_eq!(names(files), ["deep/er/good.yaml", "good.yml"], "each file once");
        let faulty = found.faults.iter().map(|fault| Path::new(&fault.place.file)).collect();
        let expected = ["circle.yml", "dangling.yml", "deep/up", "loop", "pipe.yml", "socket.yml"];
        assert_eq!(names(faulty), expected);
        assert!(find(&[at("nowhere")]).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn a_huge_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("huge.yml");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let fault = read(&path).unwrap_err().to_string();
        assert!(fault.contains("huge.yml: expected at most 16 MiB"), "{fault}");
    }
}
