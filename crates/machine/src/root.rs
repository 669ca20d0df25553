//! Paths below a machine's root folder: symbolic links inside it stay inside it.

use crate::{Error, Result};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links followed at most, as in the kernel.
const MAX_LINKS: usize = 40;

/// Joins an absolute path of the machine below `root`, without looking at the disk.
pub fn join(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    match path.strip_prefix("/") {
        Ok(relative) => root.join(relative),
        Err(_) => root.join(path),
    }
}

/// Follows every link of `path` as a process with that root would, and gives the path to open from here.
pub fn resolve(root: &Path, path: &Path) -> Result<PathBuf> {
    if root == Path::new("/") {
        return resolve_here(path);
    }
    let mut pending: VecDeque<OsString> = parts(path).collect();
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = pending.pop_front() {
        if part == ".." {
            inside.pop();
            continue;
        }
        let here = root.join(&inside).join(&part);
        match std::fs::read_link(&here) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::read(path)(io::Error::other(
                        "too many symbolic links",
                    )));
                }
                if target.is_absolute() {
                    inside.clear();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    pending.push_front(part);
                }
            }
            // EINVAL: it is there and is no link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => inside.push(part),
            Err(error) => return Err(Error::read(here)(error)),
        }
    }
    Ok(root.join(inside))
}

/// `/proc/PID/root` says that it leads to `/`, and leads into another mount namespace: a path through it has no other name.
fn resolve_here(path: &Path) -> Result<PathBuf> {
    let wanted = std::fs::metadata(path).map_err(Error::read(path))?;
    let is_wanted = |found: &PathBuf| {
        std::fs::metadata(found)
            .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    };
    let canonical = std::fs::canonicalize(path).ok().filter(is_wanted);
    Ok(canonical.unwrap_or_else(|| path.to_path_buf()))
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The path as a process inside `root` would say it.
pub fn inside(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") {
        return path.to_path_buf();
    }
    match path.strip_prefix(root) {
        Ok(relative) => Path::new("/").join(relative),
        Err(_) => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        std::fs::write(root.path().join("usr/lib/libx.so.1"), "").unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.path().join(name)).unwrap()
        };
        link("/usr/lib", "lib");
        link("libx.so.1", "usr/lib/libx.so");
        link("../../../../usr/lib/libx.so", "usr/lib/up");
        link("loop", "loop");
        let expected = root.path().join("usr/lib/libx.so.1");
        for path in ["/lib/libx.so", "/usr/lib/up", "/lib/../lib/libx.so.1"] {
            assert_eq!(
                resolve(root.path(), Path::new(path)).unwrap(),
                expected,
                "{path}"
            );
        }
        assert!(resolve(root.path(), Path::new("/loop")).is_err());
        assert!(resolve(root.path(), Path::new("/none")).is_err());
        assert_eq!(
            inside(root.path(), &expected),
            Path::new("/usr/lib/libx.so.1")
        );
    }
}
