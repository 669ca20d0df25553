//! The cache directory: kernels, the sid tree and apt's state, shared by all clones on this machine.
//!
//! `$FATHOM_CACHE` if set, else `$XDG_CACHE_HOME/fathom`, else `~/.cache/fathom`. Deleting it is always safe.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The cache, held by one process at a time.
pub struct Cache {
    root: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens the cache and waits until no other task is filling it.
    pub fn open() -> Result<Cache> {
        let root = location(|name| env::var_os(name).map(PathBuf::from));
        fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the cache {}", root.display()))?;
        let lock =
            File::create(root.join("lock")).context("cannot create the cache's lock file")?;
        lock.lock().context("cannot lock the cache")?;
        Ok(Cache { root, _lock: lock })
    }

    /// The path of `name` inside the cache.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }
}

fn location(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    set("FATHOM_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|path| path.join("fathom")))
        .or_else(|| set("HOME").map(|path| path.join(".cache/fathom")))
        .unwrap_or_else(|| PathBuf::from("target/cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: &str) {
        let found = location(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        });
        assert_eq!(found, Path::new(expected));
    }

    #[test]
    fn the_nearest_variable_decides() {
        check(&[("FATHOM_CACHE", "/c"), ("HOME", "/h")], "/c");
        check(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/x/fathom");
        check(&[("FATHOM_CACHE", ""), ("HOME", "/h")], "/h/.cache/fathom");
        check(&[], "target/cache");
    }
}
