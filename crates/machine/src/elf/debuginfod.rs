//! Debug files from servers: debuginfod, asked by build id. Files lie in the cache that other clients use too.

use super::Elf;
use super::debug_file::hex;
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of one file when the user sets no limit.
const MAX_SIZE: u64 = 8 << 30;
/// For a whole answer when the user sets no time.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Servers asked.
const MAX_SERVERS: usize = 16;

/// Servers of debug files, and where their files are kept.
#[derive(Debug, Clone)]
pub struct Debuginfod {
    servers: Vec<String>,
    cache: PathBuf,
    max_size: u64,
    timeout: Duration,
}

impl Debuginfod {
    /// These servers, with a folder for what they send.
    pub fn new(servers: Vec<String>, cache: impl Into<PathBuf>) -> Debuginfod {
        Debuginfod {
            servers,
            cache: cache.into(),
            max_size: MAX_SIZE,
            timeout: TIMEOUT,
        }
    }

    /// What the variables `DEBUGINFOD_URLS`, `DEBUGINFOD_CACHE_PATH`, `DEBUGINFOD_TIMEOUT` and `DEBUGINFOD_MAXSIZE` say;
    /// `None` when no server is named. `variable` looks one up.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Debuginfod> {
        let urls = variable("DEBUGINFOD_URLS")?;
        let servers: Vec<String> = urls
            .split_whitespace()
            .filter(|url| url.starts_with("http://") || url.starts_with("https://"))
            .map(|url| url.trim_end_matches('/').to_string())
            .take(MAX_SERVERS)
            .collect();
        if servers.is_empty() {
            return None;
        }
        let folder = |name: &str| {
            variable(name)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        let cache = folder("DEBUGINFOD_CACHE_PATH")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("debuginfod_client")))
            .or_else(|| Some(folder("HOME")?.join(".cache/debuginfod_client")))?;
        let number = |name: &str| variable(name).and_then(|text| text.parse::<u64>().ok());
        let mut made = Debuginfod::new(servers, cache);
        if let Some(seconds) = number("DEBUGINFOD_TIMEOUT").filter(|seconds| *seconds > 0) {
            made.timeout = Duration::from_secs(seconds);
        }
        if let Some(size) = number("DEBUGINFOD_MAXSIZE").filter(|size| *size > 0) {
            made.max_size = size.min(MAX_SIZE);
        }
        Some(made)
    }

    /// The debug file of a build id, from the cache or the first server that has it; `None` when none has.
    pub fn fetch(&self, build_id: &[u8]) -> Result<Option<PathBuf>> {
        let id = hex(build_id);
        let folder = self.cache.join(&id);
        let path = folder.join("debuginfo");
        if id.is_empty() {
            return Ok(None);
        }
        // An empty one is how other clients note that there is none.
        if path.metadata().is_ok_and(|found| found.len() > 0) {
            return check(&path, build_id).map(|()| Some(path));
        }
        let mut failed = None;
        for server in &self.servers {
            let url = format!("{server}/buildid/{id}/debuginfo");
            match self.download(&url, &folder, &path, build_id) {
                Ok(true) => return Ok(Some(path)),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Whether the server has it.
    fn download(&self, url: &str, folder: &Path, path: &Path, build_id: &[u8]) -> Result<bool> {
        let failed = |why: String| Error::Download {
            url: url.to_string(),
            why,
        };
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .http_status_as_error(false)
            .build()
            .into();
        let answer = agent.get(url).call();
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(false),
            status => return Err(failed(format!("the server answers with status {status}"))),
        }
        fs::create_dir_all(folder).map_err(Error::read(folder))?;
        // Under its name there are only whole files.
        let partial = folder.join(format!("debuginfo.{}", std::process::id()));
        let body = answer
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        let received = self
            .receive(body, &partial)
            .map_err(|error| failed(error.to_string()))
            .and_then(|()| check(&partial, build_id))
            .and_then(|()| fs::rename(&partial, path).map_err(Error::read(path)));
        if received.is_err() {
            let _ = fs::remove_file(&partial);
        }
        received.map(|()| true)
    }

    fn receive(&self, body: impl Read, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        let mut body = body.take(self.max_size.saturating_add(1));
        let received = io::copy(&mut body, &mut file)?;
        if received > self.max_size {
            return Err(io::Error::other(format!(
                "it is larger than {} bytes",
                self.max_size
            )));
        }
        file.flush()
    }
}

/// What a server or another client left there must be what was asked for.
fn check(path: &Path, build_id: &[u8]) -> Result<()> {
    let found = Elf::open(path)?;
    match found.build_id() {
        Some(other) if other == build_id => Ok(()),
        _ => Err(Error::malformed(
            path.display().to_string(),
            format!("its build id is not {}", hex(build_id)),
        )),
    }
}
