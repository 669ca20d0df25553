//! Aligned columns for lists that people read.

/// Rows of cells under a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    title: String,
    align: Align,
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// For words.
    #[default]
    Left,
    /// For numbers.
    Right,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStyle {
    /// The last column is cut so that no line is longer; `None` for files and pipes.
    pub width: Option<usize>,
    /// The header is bold.
    pub has_color: bool,
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    /// A table with these column titles.
    pub fn new(columns: &[(&str, Align)]) -> Table {
        let columns = columns.iter().map(|(title, align)| Column {
            title: (*title).to_owned(),
            align: *align,
        });
        Table {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row; missing cells are empty, surplus ones are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole table, a newline behind each line.
    pub fn render(&self, style: TableStyle) -> String {
        let widths = self.widths();
        let titles: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.title.as_str())
            .collect();
        let mut out = String::new();
        let header = self.line(&titles, &widths, style.width);
        if !header.is_empty() {
            match style.has_color {
                true => out.push_str(&format!("\x1b[1m{header}\x1b[0m\n")),
                false => out.push_str(&format!("{header}\n")),
            }
        }
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            out.push_str(&self.line(&cells, &widths, style.width));
            out.push('\n');
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| columns_of(&column.title))
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns_of(cell));
            }
        }
        widths
    }

    fn line(&self, cells: &[&str], widths: &[usize], limit: Option<usize>) -> String {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            let blanks = " ".repeat(widths[index].saturating_sub(columns_of(cell)));
            if index > 0 {
                line.push_str(GAP);
            }
            match self.columns[index].align {
                Align::Left => line.extend([*cell, &blanks]),
                Align::Right => line.extend([&blanks, *cell]),
            }
        }
        let line = line.trim_end();
        match limit {
            Some(limit) if columns_of(line) > limit => cut(line, limit),
            _ => line.to_owned(),
        }
    }
}

/// The start of a line with a mark that something is missing.
fn cut(line: &str, limit: usize) -> String {
    let mut shown = String::new();
    let mut columns = 1;
    for character in line.chars() {
        columns += columns_of_char(character);
        if columns > limit {
            break;
        }
        shown.push(character);
    }
    if limit > 0 {
        shown.push('…');
    }
    shown
}

/// Columns that a text takes on a terminal.
pub fn columns_of(text: &str) -> usize {
    text.chars().map(columns_of_char).sum()
}

/// East Asian wide characters and emoji take two columns, combining marks none.
fn columns_of_char(character: char) -> usize {
    match character as u32 {
        0..=0x1f | 0x7f..=0x9f | 0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
