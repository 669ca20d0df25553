//! Users by number, from the machine's `/etc/passwd`.

use crate::{Machine, Result, bytes};
use std::collections::HashMap;

/// Names of users.
#[derive(Debug, Clone, Default)]
pub struct Users {
    names: HashMap<u32, String>,
}

impl Users {
    /// Takes the text of a passwd file; the first entry of a number counts, as in libc.
    pub fn parse(text: &str) -> Users {
        let mut names = HashMap::new();
        for line in text.lines() {
            let mut columns = line.split(':');
            if let (Some(name), Some(uid)) = (
                columns.next(),
                columns.nth(1).and_then(|uid| uid.parse().ok()),
            ) {
                names.entry(uid).or_insert_with(|| name.to_string());
            }
        }
        Users { names }
    }

    /// The name of a user.
    pub fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }
}

impl Machine {
    /// The machine's users.
    pub fn users(&self) -> Result<Users> {
        Ok(Users::parse(&bytes::read_text(&self.path("/etc/passwd"))?))
    }
}
