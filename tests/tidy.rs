//! House rules as a test: layers, owners of libraries, file headers, and documents that tell the
//! truth about paths, links, metrics, limits and configuration keys.
//!
//! Each rule is a function from texts to complaints, so that a second test can show that it
//! complains about what it should.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

#[path = "tidy/guide.rs"]
mod guide;
#[path = "tidy/limits.rs"]
mod limits;

/// A file of the repository: path from the root, with `/`, and text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    text: String,
}

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

// ── The repository ────────────────────────────────────────────────────────────────────────────

const READ: [&str; 3] = ["rs", "md", "toml"];
const SKIPPED: [&str; 4] = ["target", "data", "node_modules", "__pycache__"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files the rules look at.
fn repository() -> Vec<File> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<File>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                    walk(root, &path, found);
                }
            } else if path
                .extension()
                .is_some_and(|ext| READ.iter().any(|read| ext == *read))
            {
                let relative = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push(File {
                    path: relative,
                    text: std::fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &root(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    &files
        .iter()
        .find(|file| file.path == path)
        .unwrap_or_else(|| panic!("{path} is missing"))
        .text
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// ── Layers and owners ─────────────────────────────────────────────────────────────────────────

/// Each package, from the bottom up, and which of ours it may depend on.
const LAYERS: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("actors/otp-macros", &[]),
    ("actors/otp", &["otp-macros"]),
    ("storage", &["model"]),
    ("cluster", &["otp", "model"]),
    ("actors/chat", &["storage", "cluster", "otp", "model"]),
    ("gateway", &["chat", "cluster", "otp", "model"]),
];
const OURS: [&str; 7] = [
    "model",
    "otp-macros",
    "otp",
    "storage",
    "cluster",
    "chat",
    "gateway",
];

/// Libraries that only one package may name; the root is `""`.
const OWNERS: [(&str, &str); 13] = [
    ("syn", "actors/otp-macros"),
    ("quote", "actors/otp-macros"),
    ("proc-macro2", "actors/otp-macros"),
    ("ractor", "actors/otp"),
    ("fjall", "storage"),
    ("scylla", "storage"),
    ("object_store", "storage"),
    ("axum", "gateway"),
    ("hyper", "gateway"),
    ("multer", "gateway"),
    ("tokio-tungstenite", "gateway"),
    ("clap", ""),
    ("figment", ""),
];

/// Names in the `[dependencies]` of a manifest. Tests may reach further: `[dev-dependencies]` are
/// not looked at.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section == "dependencies"
                || (section.starts_with("target.") && section.ends_with(".dependencies"));
            if let Some(name) = section.strip_prefix("dependencies.") {
                names.push(name.to_owned());
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            names.push(
                line.split(['.', ' ', '='])
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    names
}

fn package_of(path: &str) -> Option<&str> {
    path.strip_suffix("Cargo.toml")
        .map(|dir| dir.trim_end_matches('/'))
}

fn check_layers(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for manifest in files {
        let Some(package) = package_of(&manifest.path).filter(|package| !package.is_empty()) else {
            continue;
        };
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == package) else {
            complaints.push(format!(
                "{}: a package that tests/tidy.rs gives no layer",
                manifest.path
            ));
            continue;
        };
        for name in dependencies(&manifest.text) {
            let name = name.strip_prefix("guildhall-").unwrap_or(&name);
            if OURS.contains(&name) && !allowed.contains(&name) {
                complaints.push(format!(
                    "{}: {package} must not depend on {name}",
                    manifest.path
                ));
            }
        }
    }
    complaints
}

fn check_owners(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for manifest in files {
        let Some(package) = package_of(&manifest.path) else {
            continue;
        };
        for name in dependencies(&manifest.text) {
            if let Some((_, owner)) = OWNERS.iter().find(|(library, _)| *library == name)
                && *owner != package
            {
                complaints.push(format!("{}: {name} belongs to {owner:?}", manifest.path));
            }
        }
    }
    complaints
}

#[test]
fn layers_go_one_way() {
    let files = repository();
    for (package, _) in LAYERS {
        assert!(
            exists(&format!("{package}/Cargo.toml")),
            "{package} is gone; update LAYERS"
        );
    }
    none(check_layers(&files));
}

#[test]
fn a_library_has_one_owner() {
    none(check_owners(&repository()));
}

#[test]
fn the_layer_rules_can_fail() {
    let gateway = |line: &str| {
        [file(
            "gateway/Cargo.toml",
            &format!("[dependencies]\n{line}\n"),
        )]
    };
    assert_eq!(check_layers(&gateway("chat.workspace = true")), [""; 0]);
    assert_eq!(check_layers(&gateway("storage.workspace = true")).len(), 1);
    assert_eq!(
        check_layers(&gateway("guildhall-storage = { path = \"../storage\" }")).len(),
        1
    );
    assert_eq!(
        check_layers(&[file("gateway/Cargo.toml", "[dependencies.storage]\n")]).len(),
        1
    );
    assert_eq!(
        check_layers(&[file("extra/Cargo.toml", "[package]\n")]).len(),
        1
    );
    let test_only = file(
        "gateway/Cargo.toml",
        "[dev-dependencies]\nstorage.workspace = true\n",
    );
    assert_eq!(check_layers(&[test_only]), [""; 0]);

    assert_eq!(check_owners(&gateway("axum.workspace = true")), [""; 0]);
    assert_eq!(check_owners(&gateway("ractor = \"0.16\"")).len(), 1);
    assert_eq!(
        check_owners(&[file("Cargo.toml", "[dependencies]\naxum.workspace = true")]).len(),
        1
    );
}

// ── Files ─────────────────────────────────────────────────────────────────────────────────────

fn check_headers(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .filter_map(|file| {
            let header = file
                .text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("//!"));
            let said = header.is_some_and(|text| text.trim().len() > 5);
            (!said).then(|| format!("{}: must begin with `//! what this file is`", file.path))
        })
        .collect()
}

fn check_no_mod_rs(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.path.ends_with("/mod.rs"))
        .map(|file| {
            format!(
                "{}: use foo.rs beside foo/ instead of foo/mod.rs",
                file.path
            )
        })
        .collect()
}

#[test]
fn files_say_what_they_are() {
    let files = repository();
    assert!(
        files.len() > 50,
        "the walk found only {} files",
        files.len()
    );
    none(check_headers(&files));
    none(check_no_mod_rs(&files));
}

#[test]
fn the_file_rules_can_fail() {
    assert_eq!(
        check_headers(&[file("a.rs", "//! Ids, and how they are made.\n")]),
        [""; 0]
    );
    for bad in [
        "",
        "use std::fmt;",
        "// Ids and how they are made",
        "//!\n//! Ids",
        "//! Ids.",
    ] {
        assert_eq!(check_headers(&[file("a.rs", bad)]).len(), 1, "{bad:?}");
    }
    assert_eq!(
        check_no_mod_rs(&[file("a/mod.rs", ""), file("a/model.rs", "")]).len(),
        1
    );
}

// ── Documents ─────────────────────────────────────────────────────────────────────────────────

const SUFFIXES: [&str; 7] = [".rs", ".toml", ".md", ".html", ".sh", ".py", ".mjs"];

/// Words that look like paths of this repository.
fn paths_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| {
            SUFFIXES
                .iter()
                .any(|suffix| word.ends_with(suffix) && word.len() > suffix.len())
        })
        .collect()
}

fn check_paths(document: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    paths_in(&document.text)
        .into_iter()
        .filter(|path| !exists(path))
        .map(|path| format!("{}: names {path}, which does not exist", document.path))
        .collect()
}

/// Targets of `[text](target)` that are files, from the root, without `#fragment`.
fn links_in(document: &File) -> Vec<String> {
    let parent = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    let targets = document
        .text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.split(['#', ' ']).next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .map(|target| {
            let mut path = PathBuf::new();
            for part in parent.join(target).components() {
                match part {
                    Component::ParentDir => drop(path.pop()),
                    Component::CurDir => {}
                    other => path.push(other),
                }
            }
            path.to_string_lossy().into_owned()
        })
        .collect()
}

fn check_links(document: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    links_in(document)
        .into_iter()
        .filter(|target| !exists(target))
        .map(|target| format!("{}: links to {target}, which does not exist", document.path))
        .collect()
}

#[test]
fn paths_in_documents_exist() {
    let files = repository();
    let mut complaints = Vec::new();
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let document = file(name, text(&files, name));
        if name == "ARCHITECTURE.md" {
            assert!(
                paths_in(&document.text).len() > 20,
                "ARCHITECTURE.md names real paths"
            );
        }
        // A path without a folder is a file name in a sentence ("a line in `lib.rs`").
        complaints.extend(check_paths(&document, |path| {
            exists(path) || (name != "ARCHITECTURE.md" && !path.contains('/'))
        }));
    }
    none(complaints);
}

#[test]
fn links_between_documents_work() {
    let files = repository();
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    none(
        documents
            .flat_map(|document| check_links(document, exists))
            .collect(),
    );
}

#[test]
fn the_document_rules_can_fail() {
    let there = |path: &str| path == "a/b.rs" || path == "docs/c.md";
    let paths = |text: &str| check_paths(&file("X.md", text), there);
    assert_eq!(paths("see `a/b.rs`, or (a/b.rs)."), [""; 0]);
    assert_eq!(paths("┌─ a/gone.rs ─▶").len(), 1);
    assert_eq!(paths("gone.rs").len(), 1);

    let links = |path: &str, text: &str| check_links(&file(path, text), there);
    assert_eq!(
        links(
            "X.md",
            "[a](a/b.rs) [b](https://x.org/y) [c](#here) [d](docs/c.md#part)"
        ),
        [""; 0]
    );
    assert_eq!(
        links("docs/y.md", "[a](../a/b.rs) [c](c.md) [d](./c.md)"),
        [""; 0]
    );
    assert_eq!(links("docs/y.md", "[a](a/b.rs)").len(), 1);
    assert_eq!(links("X.md", "![picture](docs/gone.png)").len(), 1);
}
