//! Where the database is when nobody says so.

use std::path::PathBuf;

use crate::failure::Failure;

/// `todo/todo.db` in the user's data directory, which is created.
///
/// # Errors
/// When the environment names no home, or the directory can't be created.
pub(crate) fn default_db() -> Result<PathBuf, Failure> {
    let folder = data_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
        .ok_or_else(|| Failure::new("no data directory: HOME is not set", "say where the database is with --db PATH"))?
        .join("todo");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::new(format!("can't create {}: {error}", folder.display()), "choose another place with --db PATH")
    })?;
    Ok(folder.join("todo.db"))
}

fn data_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        Some(variable("HOME")?.join("Library/Application Support"))
    } else {
        // The XDG base directory specification ignores relative paths.
        let xdg = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
        xdg.or_else(|| Some(variable("HOME")?.join(".local/share")))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_xdg_directory_goes_before_home() {
        let only_home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/ada"));
        let both = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/ada" } else { "/data" }));
        let relative = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/ada" } else { "data" }));
        assert_eq!(data_folder(only_home), Some("/home/ada/.local/share".into()));
        assert_eq!(data_folder(both), Some("/data".into()));
        assert_eq!(data_folder(relative), Some("/home/ada/.local/share".into()));
        assert_eq!(data_folder(|_| None), None);
    }
}
