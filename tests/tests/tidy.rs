//! The promises that no compiler checks: files stay short, none is forgotten, nothing is left over,
//! every link leads somewhere, and the gate runs what the README says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const RUST_LINES_MAX: usize = 600;
const MAP_LINES_MAX: usize = 300;
const LINE_CHARS_MAX: usize = 140;

/// Words that mark unfinished work. Split, so that this file doesn't hold them.
const LEFT_OVER: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK"), concat!("NO", "COMMIT")];
const LEFT_OVER_MACROS: &[&str] = &[concat!("dbg", "!("), concat!("todo", "!("), concat!("unimplemented", "!(")];

#[test]
fn every_file_is_short_enough_to_read_at_one_sitting() {
    let too_long = texts().filter_map(|(path, text)| {
        let lines_max = match path.extension()?.to_str()? {
            "rs" => RUST_LINES_MAX,
            "md" if path.ends_with("ARCHITECTURE.md") => MAP_LINES_MAX,
            _ => return None,
        };
        let lines = text.lines().count();
        (lines > lines_max).then(|| format!("{}: {lines} lines, at most {lines_max}", path.display()))
    });
    none_of("split these files", too_long);
}

#[test]
fn nothing_is_left_over_from_the_work() {
    let left = texts().flat_map(|(path, text)| {
        let code = has_extension(&path, &["rs"]);
        let found: Vec<_> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| {
                let word = |word: &&str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|it| it == *word);
                LEFT_OVER.iter().any(word) || (code && LEFT_OVER_MACROS.iter().any(|it| line.contains(it)))
            })
            .map(|(index, line)| format!("{}:{}: {}", path.display(), index + 1, line.trim()))
            .collect();
        found
    });
    none_of("finish these or open an issue", left);
}

#[test]
fn text_files_are_clean() {
    let unclean = texts().flat_map(|(path, text)| {
        let mut found = Vec::new();
        let mut complain = |line: usize, what: &str| found.push(format!("{}:{line}: {what}", path.display()));
        if !text.is_empty() && !text.ends_with('\n') {
            complain(text.lines().count(), "no newline at the end");
        }
        // Compiler output and snapshots are what they are.
        let prose = !has_extension(&path, &["stderr", "snap", "lock"]) && !path.ends_with("LICENSE-APACHE");
        for (index, line) in text.lines().enumerate().filter(|_| prose) {
            if line.ends_with([' ', '\t']) {
                complain(index + 1, "space at the end of the line");
            }
            // A long literal, as a golden byte vector, can't be broken.
            let breakable = line.split_whitespace().all(|word| word.len() < LINE_CHARS_MAX / 2);
            if has_extension(&path, &["rs"]) && breakable && line.chars().count() > LINE_CHARS_MAX {
                complain(index + 1, "line too long");
            }
        }
        found
    });
    none_of("clean these lines", unclean);
}

#[test]
fn every_source_file_is_compiled() {
    let reached = reached_sources();
    let dead = files().into_iter().filter(|path| has_extension(path, &["rs"])).filter(|path| {
        let is_case = || case_folders(path).any(|folder| path.starts_with(folder));
        !reached.contains(path) && !is_case()
    });
    none_of("no `mod` leads to these files", dead.map(|path| path.display().to_string()));
}

#[test]
fn every_room_knows_only_what_the_map_says() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rooms = rooms(&map);
    assert!(rooms.len() > 8, "the map has a table of rooms: {rooms:?}");
    let strangers = texts().flat_map(|(path, text)| {
        let room = room_of(&path).and_then(|room| rooms.iter().find(|(name, _)| *name == room));
        let Some((room, known)) = room else { return Vec::new() };
        // Comments may link anywhere, and tests may bring rooms together.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let met = lines.flat_map(|(index, line)| line.split("crate::").skip(1).map(move |rest| (index, rest)));
        met.map(|(index, rest)| (index, rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()))
            .filter(|(_, met)| rooms.iter().any(|(name, _)| name == met))
            .filter(|(_, met)| met != room && !known.contains(&"all") && !known.contains(met))
            .map(|(index, met)| format!("{}:{}: `{room}` meets `{met}`", path.display(), index + 1))
            .collect()
    });
    none_of("not as ARCHITECTURE.md says", strangers);
}

#[test]
fn every_room_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rooms = rooms(&map);
    let all: BTreeSet<_> = texts().filter_map(|(path, _)| room_of(&path)).collect();
    let missing = all.into_iter().filter(|room| room != "lib" && !rooms.iter().any(|(name, _)| name == room));
    none_of("rooms that ARCHITECTURE.md doesn't have", missing);
}

#[test]
fn every_crate_follows_the_lints_of_the_workspace() {
    let lax = texts().filter_map(|(path, text)| {
        let member = path.ends_with("Cargo.toml") && text.contains("[package]") && !text.contains("[workspace]");
        (member && !text.contains("[lints]\nworkspace = true")).then(|| path.display().to_string())
    });
    none_of("add `[lints] workspace = true`", lax);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let broken = texts().filter(|(path, _)| has_extension(path, &["md"])).flat_map(|(path, text)| {
        let targets = links(&text);
        let broken: Vec<_> = targets
            .into_iter()
            .filter(|target| !resolves(&path, target))
            .map(|target| format!("{}: {target}", path.display()))
            .collect();
        broken
    });
    none_of("these links are broken", broken);
}

#[test]
fn the_gate_runs_the_commands_of_the_readme() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (readme, gate) = (read("README.md"), read(".ci/run"));
    let commands: Vec<_> = fenced(&readme, "sh").filter(|line| line.starts_with("cargo ")).collect();
    assert!(commands.len() >= 2, "the README says how to run the demo and how to run the tests: {commands:?}");
    for command in commands {
        assert!(gate.lines().any(|line| line.trim() == command), ".ci/run doesn't run `{command}`");
    }
}

#[test]
fn every_package_that_is_published_carries_its_licences() {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
    let without = texts().filter_map(|(path, text)| {
        let member = path.ends_with("Cargo.toml") && text.contains("[package]");
        (member && !text.contains("license.workspace = true")).then(|| path.display().to_string())
    });
    none_of("add `license.workspace = true`", without.filter(|path| !path.contains("fuzz") && !path.contains("peers")));
}

// What the tests above read.

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file of the repository, sorted. What the compiler and the fuzzer write is not ours, nor what
/// starts with a dot; `.ci` is.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ["target", "corpus", "artifacts"].contains(&name.as_str()) || (name.starts_with('.') && name != ".ci") {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Every file that is text, with its text.
fn texts() -> impl Iterator<Item = (PathBuf, String)> {
    let kinds = &["rs", "md", "toml", "lock", "stderr", "snap", "sh", "sql"];
    let is_text = |path: &PathBuf| has_extension(path, kinds) || path.extension().is_none();
    files().into_iter().filter(is_text).filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        Some((path.strip_prefix(root()).unwrap().to_path_buf(), text))
    })
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|it| it.to_str()).is_some_and(|it| extensions.contains(&it))
}

#[track_caller]
fn none_of(what: &str, found: impl Iterator<Item = String>) {
    let found: Vec<_> = found.collect();
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The sources that Cargo compiles: the roots it finds by itself, and what their `mod` lines lead to.
fn reached_sources() -> BTreeSet<PathBuf> {
    let manifests = files().into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let mut pending: Vec<PathBuf> = manifests.flat_map(|manifest| crate_roots(&manifest)).collect();
    let roots: BTreeSet<PathBuf> = pending.iter().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = pending.pop() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let folder = path.parent().unwrap();
        let owns_folder = roots.contains(&path) || path.ends_with("mod.rs");
        let children = if owns_folder { folder.to_path_buf() } else { path.with_extension("") };
        for (name, explicit) in modules(&text) {
            pending.extend(explicit.map(|it| folder.join(it)));
            pending.push(children.join(format!("{name}.rs")));
            pending.push(children.join(&name).join("mod.rs"));
        }
        reached.insert(path);
    }
    reached
}

/// The roots of the crates that `manifest` describes.
fn crate_roots(manifest: &Path) -> Vec<PathBuf> {
    let package = manifest.parent().unwrap();
    let mut roots: Vec<_> = ["src/lib.rs", "src/main.rs", "build.rs"].iter().map(|it| package.join(it)).collect();
    for folder in ["src/bin", "tests", "benches", "examples"] {
        for entry in fs::read_dir(package.join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    let text = fs::read_to_string(manifest).unwrap();
    let explicit = text.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    roots.extend(explicit.map(|path| package.join(path)));
    roots.retain(|path| has_extension(path, &["rs"]) && path.is_file());
    roots
}

/// The `mod name;` lines of a source, each with the `#[path]` before it.
fn modules(text: &str) -> Vec<(String, Option<String>)> {
    let mut path = None;
    let mut modules = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("#[path = \"") {
            path = value.strip_suffix("\"]").map(str::to_owned);
            continue;
        }
        let item = line.strip_prefix("pub ").or_else(|| Some(line.strip_prefix("pub(")?.split_once(") ")?.1));
        if let Some(name) = item.unwrap_or(line).strip_prefix("mod ").and_then(|it| it.strip_suffix(';')) {
            modules.push((name.trim_start_matches("r#").to_owned(), path.take()));
        }
    }
    modules
}

/// The folders of cases that the tests beside `path` hand to the compiler themselves: those named, with a
/// slash, by a string of one of these tests.
fn case_folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    let package = path.ancestors().find(|it| it.join("Cargo.toml").is_file()).unwrap_or(Path::new("/")).to_path_buf();
    let tests = fs::read_dir(package.join("tests")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let named = tests.filter(|it| it.is_file()).flat_map(|it| {
        let text = fs::read_to_string(it).unwrap_or_default();
        let strings: Vec<_> = text.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        strings
    });
    let folders: Vec<_> = named
        .filter(|it| it.contains('/'))
        .map(|it| package.join(it.split("/*").next().unwrap_or(&it)))
        .filter(|it| it.is_dir() && *it != package)
        .collect();
    folders.into_iter()
}

/// The targets of the Markdown links outside code blocks.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut targets = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let after = line.split("](").skip(1);
        targets.extend(after.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
    }
    targets
}

fn resolves(from: &Path, target: &str) -> bool {
    if target.starts_with("https://") || target.starts_with("mailto:") {
        return true;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let from = root().join(from);
    let to = if file.is_empty() { from } else { from.parent().unwrap().join(file) };
    let anchors = || fs::read_to_string(&to).unwrap_or_default().lines().filter_map(heading_anchor).collect::<Vec<_>>();
    to.exists() && (anchor.is_empty() || anchors().iter().any(|it| it == anchor))
}

/// The anchor that GitHub gives a heading.
fn heading_anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    Some(kept.trim().replace(' ', "-"))
}

/// The table of rooms in the map: each room with those that it may know.
fn rooms(map: &str) -> Vec<(&str, Vec<&str>)> {
    let table = map.split("\n## ").find(|chapter| chapter.starts_with("The rooms")).unwrap_or_default();
    let rows = table.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split_once('`')?.0;
        let known = line.split('|').nth(3)?.split(',').map(str::trim).collect();
        Some((name, known))
    });
    rows.collect()
}

/// The room of the runtime that a source is in; none for its tests.
fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("cfost-runtime/src").ok()?;
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    let in_tests = parts.iter().any(|part| part == "tests" || part == "tests.rs");
    (!in_tests).then(|| parts[0].trim_end_matches(".rs").to_owned())
}

/// The lines of the fenced blocks in `language`.
fn fenced<'a>(text: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(move |block| block.strip_prefix(language)).flat_map(|block| block.lines().map(str::trim))
}
