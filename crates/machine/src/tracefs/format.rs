//! The `format` file of a tracepoint:
//!
//! ```text
//! name: sched_switch
//! ID: 372
//! format:
//!         field:char prev_comm[16];       offset:8;       size:16;        signed:0;
//! ```

/// Fields taken of one event; the kernel's own limit is far below.
const MAX_FIELDS: usize = 1024;

/// Layout of a tracepoint's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracepointFormat {
    /// The event's name, without its subsystem.
    pub name: String,
    /// Number to attach by.
    pub id: u64,
    /// All fields in order, the `common_…` ones included.
    pub fields: Vec<TracepointField>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracepointField {
    /// Its name.
    pub name: String,
    /// Its type as C would write it without the name: `pid_t`, `const char *`, `char[16]`, `__data_loc char[]`.
    pub c_type: String,
    /// The declaration as the file has it: `char prev_comm[16]`.
    pub declaration: String,
    /// Bytes from the start of the record.
    pub offset: u32,
    /// Bytes it takes there; 4 for dynamic fields.
    pub size: u32,
    /// Whether it is sign-extended. System call arguments are always marked unsigned, whatever their type.
    pub signed: bool,
    /// How to read it.
    pub kind: FieldKind,
}

/// How a field's bytes are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// A number, an enum or a struct by value.
    Scalar,
    /// A pointer.
    Pointer,
    /// An array inside the record.
    Array {
        /// Type of one element.
        element: String,
        /// Number of elements.
        len: u32,
    },
    /// Data after the fixed part; the field holds `offset | length << 16`.
    Dynamic {
        /// Type of one element; `char` for strings.
        element: String,
        /// What the offset counts from.
        base: LocationBase,
    },
}

/// What the offset of a dynamic field counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocationBase {
    /// The start of the record (`__data_loc`).
    Record,
    /// The end of the field itself (`__rel_loc`).
    FieldEnd,
}

impl TracepointFormat {
    /// Parses the text of a `format` file; the error says what is wrong.
    pub fn parse(text: &str) -> Result<TracepointFormat, String> {
        let mut name = None;
        let mut id = None;
        let mut fields = Vec::new();
        for line in text.lines() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("name:") {
                name.get_or_insert(rest.trim().to_string());
            } else if let Some(rest) = line.strip_prefix("ID:") {
                id = rest.trim().parse().ok();
            } else if line.starts_with("field:") {
                fields.push(
                    TracepointField::parse(line)
                        .ok_or_else(|| format!("cannot understand `{line}`"))?,
                );
            } else if line.starts_with("print fmt:") || fields.len() >= MAX_FIELDS {
                break;
            }
        }
        Ok(TracepointFormat {
            name: name.ok_or("no name")?,
            id: id.ok_or("no ID")?,
            fields,
        })
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&TracepointField> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields a script sees in `args`: all but the common ones.
    pub fn args(&self) -> impl Iterator<Item = &TracepointField> {
        self.fields.iter().filter(|field| !field.is_common())
    }
}

impl TracepointField {
    /// Whether every event has it (`common_pid` …).
    pub fn is_common(&self) -> bool {
        self.name.starts_with("common_")
    }

    /// Whether it is a string in the record, of fixed or dynamic place.
    pub fn is_string(&self) -> bool {
        match &self.kind {
            FieldKind::Array { element, .. } | FieldKind::Dynamic { element, .. } => {
                element == "char"
            }
            FieldKind::Scalar | FieldKind::Pointer => false,
        }
    }

    fn parse(line: &str) -> Option<TracepointField> {
        let mut declaration = None;
        let (mut offset, mut size, mut signed) = (None, None, None);
        for part in line.split(';') {
            let Some((key, value)) = part.trim().split_once(':') else {
                continue;
            };
            match key {
                "field" => declaration = Some(value.trim()),
                "offset" => offset = value.parse().ok(),
                "size" => size = value.parse().ok(),
                "signed" => signed = value.parse::<u8>().ok(),
                _ => {}
            }
        }
        let (offset, size): (u32, u32) = (offset?, size?);
        offset.checked_add(size)?;
        let declaration = declaration?;
        let (c_type, name, kind) = split_declaration(declaration, size)?;
        // Kernels before 2.6.38 have no `signed`.
        let signed = signed.map_or_else(|| !c_type.contains("unsigned"), |flag| flag != 0);
        Some(TracepointField {
            name,
            c_type,
            declaration: declaration.to_string(),
            offset,
            size,
            signed,
            kind,
        })
    }
}

/// `__data_loc char[] filename` → type text, name, kind.
fn split_declaration(declaration: &str, size: u32) -> Option<(String, String, FieldKind)> {
    let base = match declaration.split_ascii_whitespace().next()? {
        "__data_loc" => Some(LocationBase::Record),
        "__rel_loc" => Some(LocationBase::FieldEnd),
        _ => None,
    };
    // `args[6]`: the brackets stand behind the name, unless the field is dynamic.
    let (before, len_text) = match declaration
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['))
    {
        Some((before, len)) if base.is_none() => (before.trim_end(), Some(len.trim())),
        _ => (declaration, None),
    };
    let name_start = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(0, |i| i + 1);
    let (type_text, name) = before.split_at(name_start);
    let type_text = type_text.trim();
    if name.is_empty() || type_text.is_empty() {
        return None;
    }
    let kind = match (base, len_text) {
        (Some(base), _) => {
            let rest = type_text.split_once(char::is_whitespace)?.1.trim();
            let element = rest.strip_suffix("[]").unwrap_or(rest).trim().to_string();
            FieldKind::Dynamic { element, base }
        }
        (None, Some(len)) => FieldKind::Array {
            element: type_text.to_string(),
            len: array_len(len, type_text, size),
        },
        (None, None) if type_text.ends_with('*') => FieldKind::Pointer,
        (None, None) => FieldKind::Scalar,
    };
    let c_type = match len_text {
        Some(len) => format!("{type_text}[{len}]"),
        None => type_text.to_string(),
    };
    Some((c_type, name.to_string(), kind))
}

/// The length may be a macro's name (`TASK_COMM_LEN` in old kernels); then the size decides.
fn array_len(text: &str, element: &str, size: u32) -> u32 {
    let bytes = element_bytes(element);
    match (text.parse::<u32>(), bytes) {
        (Ok(len), _)
            if len
                .checked_mul(bytes.unwrap_or(1))
                .is_some_and(|total| total <= size) =>
        {
            len
        }
        (_, Some(bytes)) => size / bytes,
        _ => size,
    }
}

fn element_bytes(element: &str) -> Option<u32> {
    if element.ends_with('*') {
        return Some(8);
    }
    Some(
        match element
            .trim_start_matches("const ")
            .trim_start_matches("unsigned ")
            .trim_start_matches("signed ")
        {
            "char" | "u8" | "s8" | "__u8" | "__s8" | "uint8_t" | "int8_t" | "bool" => 1,
            "short" | "u16" | "s16" | "__u16" | "__s16" | "__be16" | "__le16" | "uint16_t"
            | "int16_t" => 2,
            "int" | "unsigned" | "u32" | "s32" | "__u32" | "__s32" | "__be32" | "__le32"
            | "uint32_t" | "int32_t" => 4,
            "long" | "long long" | "u64" | "s64" | "__u64" | "__s64" | "uint64_t" | "int64_t"
            | "size_t" => 8,
            _ => return None,
        },
    )
}
