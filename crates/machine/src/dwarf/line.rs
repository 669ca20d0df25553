//! From a source line to the addresses of its code.

use super::question::{Budget, text};
use super::{DebugInfo, Dwarf, Slice, Unit};
use crate::{Address, Error, Result};
use gimli::{ColumnType, LineProgramHeader};

/// Places of one line; more means that it is in a header that is inlined everywhere.
const MAX_PLACES: usize = 10_000;

/// A place where code of a line starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineMatch {
    /// Its address in the binary.
    pub address: Address,
    /// The file as the compiler knew it.
    pub file: String,
    /// The line.
    pub line: u64,
    /// The column, 0 when it is not told.
    pub column: u64,
}

impl DebugInfo {
    /// The places where code of `file:line[:column]` starts, in order of address. `file` may be the end of a path.
    pub fn find_line(&self, file: &str, line: u64, column: Option<u64>) -> Result<Vec<LineMatch>> {
        let dwarf = self.dwarf()?;
        let mut search = Search {
            file,
            line,
            column,
            found: Vec::new(),
            nearest: None,
            has_file: false,
            budget: Budget::new(),
        };
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().map_err(self.malformed())? {
            // One broken unit does not spoil the others.
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            search.in_unit(&dwarf, &unit).map_err(self.malformed())?;
        }
        search.found.sort_unstable();
        search.found.dedup_by_key(|found| found.address);
        if search.found.is_empty() {
            return Err(search.not_found(&self.path().display().to_string()));
        }
        Ok(search.found)
    }
}

struct Search<'s> {
    file: &'s str,
    line: u64,
    column: Option<u64>,
    found: Vec<LineMatch>,
    /// The next line of the file that has code.
    nearest: Option<u64>,
    has_file: bool,
    budget: Budget,
}

impl Search<'_> {
    fn in_unit<'a>(&mut self, dwarf: &Dwarf<'a>, unit: &Unit<'a>) -> gimli::Result<()> {
        let Some(program) = unit.line_program.clone() else {
            return Ok(());
        };
        let files = self.matching_files(dwarf, unit, program.header())?;
        if files.is_empty() {
            return Ok(());
        }
        self.has_file = true;
        let mut rows = program.rows();
        let mut previous = None;
        while let Some((_, row)) = rows.next_row()? {
            self.budget.spend(1)?;
            if row.end_sequence() {
                previous = None;
                continue;
            }
            let line = row.line().map_or(0, |line| line.get());
            let file = files.iter().find(|(index, _)| *index == row.file_index());
            let column = match row.column() {
                ColumnType::LeftEdge => 0,
                ColumnType::Column(column) => column.get(),
            };
            let here = (row.file_index(), line);
            if let Some((_, name)) = file {
                if line > self.line && self.nearest.is_none_or(|nearest| line < nearest) {
                    self.nearest = Some(line);
                }
                let is_start = row.is_stmt()
                    && line == self.line
                    && (previous != Some(here) || self.column.is_some());
                if is_start
                    && self.column.is_none_or(|wanted| wanted == column)
                    && self.found.len() < MAX_PLACES
                {
                    self.found.push(LineMatch {
                        address: Address(row.address()),
                        file: name.clone(),
                        line,
                        column,
                    });
                }
            }
            previous = Some(here);
        }
        Ok(())
    }

    /// Numbers and full names of the unit's files that are the wanted one.
    fn matching_files<'a>(
        &mut self,
        dwarf: &Dwarf<'a>,
        unit: &Unit<'a>,
        header: &LineProgramHeader<Slice<'a>>,
    ) -> gimli::Result<Vec<(u64, String)>> {
        let first = if header.version() >= 5 { 0 } else { 1 };
        let wanted_name = self.file.rsplit('/').next().unwrap_or(self.file);
        let mut files = Vec::new();
        for (index, entry) in (first..).zip(header.file_names()) {
            self.budget.spend(8)?;
            let path = text(dwarf, unit, entry.path_name());
            if path.rsplit('/').next() != Some(wanted_name) {
                continue;
            }
            let mut full = path;
            if !full.starts_with('/')
                && let Some(folder) = entry.directory(header)
            {
                full = format!("{}/{full}", text(dwarf, unit, folder));
            }
            let compiled_in = unit
                .comp_dir
                .map(|folder| String::from_utf8_lossy(folder.slice()).into_owned());
            if !full.starts_with('/')
                && let Some(folder) = compiled_in
            {
                full = format!("{folder}/{full}");
            }
            if ends_with_path(&full, self.file) {
                files.push((index, full));
            }
        }
        Ok(files)
    }

    fn not_found(&self, binary: &str) -> Error {
        let kind = if self.has_file {
            format!("code in {binary} for line")
        } else {
            format!("source file in {binary} for")
        };
        let nearest = self.nearest.map(|line| format!("{}:{line}", self.file));
        Error::NotFound {
            kind,
            name: format!("{}:{}", self.file, self.line),
            nearest: nearest.into_iter().collect(),
        }
    }
}

/// Whether the path ends with these components.
fn ends_with_path(path: &str, end: &str) -> bool {
    let end = end.strip_prefix("./").unwrap_or(end);
    match path.strip_suffix(end) {
        Some(before) => before.is_empty() || before.ends_with('/') || end.starts_with('/'),
        None => false,
    }
}
